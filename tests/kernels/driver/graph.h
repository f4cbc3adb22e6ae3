// Graphs, captured from a stream.
#pragma once

#include "state.h"

namespace driver {

extern "C" {

int cuStreamBeginCapture_v2(Stream* stream, int mode) {
  if (!streams.count(stream) || stream->capturing) return INVALID_HANDLE;
  stream->capturing = true;
  stream->captured.clear();
  return mode >= 0 && mode <= 2 ? SUCCESS : INVALID_VALUE;
}

int cuStreamEndCapture(Stream* stream, Graph** graph) {
  if (!streams.count(stream) || !stream->capturing) return INVALID_HANDLE;
  stream->capturing = false;
  *graph = new Graph{stream->captured};
  graphs.insert(*graph);
  return SUCCESS;
}

int cuGraphInstantiateWithFlags(Graph** executable, Graph* graph, unsigned long long flags) {
  if (!graphs.count(graph) || flags != 0) return INVALID_VALUE;
  *executable = new Graph{graph->work};
  graphs.insert(*executable);
  return SUCCESS;
}

int cuGraphDestroy(Graph* graph) {
  if (!graphs.erase(graph)) return INVALID_VALUE;
  delete graph;
  return SUCCESS;
}

int cuGraphLaunch(Graph* graph, Stream* stream) {
  if (!graphs.count(graph) || !streams.count(stream) || stream->capturing) return INVALID_HANDLE;
  for (const Work& work : graph->work) {
    const Result result = work();
    if (result != SUCCESS) return result;
  }
  return SUCCESS;
}

}  // extern "C"

}  // namespace driver
