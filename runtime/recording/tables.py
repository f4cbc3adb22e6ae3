"""Arrays as Arrow tables, in the forms that LeRobot reads from Parquet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def columns_table(columns: Mapping[str, NDArray[Any]]) -> Any:
    """Columns (n,) or (n, width), the latter as lists of fixed length, which LeRobot expects."""
    import pyarrow

    return pyarrow.table(
        {
            name: (
                pyarrow.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1])
                if values.ndim == 2
                else pyarrow.array(values)
            )
            for name, values in columns.items()
        }
    )


def tasks_table(tasks: Sequence[str]) -> Any:
    """Tasks as pandas stores a frame indexed by task, which is how LeRobot looks them up."""
    import pyarrow

    def described(name: str, kind: str, numpy_kind: str) -> dict[str, Any]:
        return {
            "name": name,
            "field_name": name,
            "pandas_type": kind,
            "numpy_type": numpy_kind,
            "metadata": None,
        }

    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            described("task_index", "int64", "int64"),
            described("task", "unicode", "object"),
        ],
        "pandas_version": "2.0.0",
    }
    table = pyarrow.table({"task_index": np.arange(len(tasks)), "task": list(tasks)})
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})
