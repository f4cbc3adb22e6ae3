/* A V4L2 camera where there is none: preloaded into a process, it answers what the process asks
 * of the file $V4L2_DEVICE, in the kernel's own structs. What it cannot show: a real driver, USB.
 *
 * The file $V4L2_SCENE holds what the sensor sees: one JPEG, read anew for every frame; while it
 * is empty no frame comes. Frames are stamped CAPTURED_EARLIER before they are ready.
 * $V4L2_CLOCK = realtime: by the wrong clock, as some drivers do.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BUFFERS 8
#define SIZE (1 << 20)
#define CAPTURED_EARLIER 0.02

static const struct { uint32_t format, width, height, rates[2]; } MODES[] = {
    {V4L2_PIX_FMT_MJPEG, 640, 480, {30, 15}},
    {V4L2_PIX_FMT_MJPEG, 320, 240, {60, 0}},
    {V4L2_PIX_FMT_YUYV, 640, 480, {30, 0}},
};
enum { MODE_COUNT = sizeof MODES / sizeof *MODES };

static int camera = -1, mode, rate = 30, gain, streaming, queued[BUFFERS], first, count, buffers;
static char *memory[BUFFERS];

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void set_rate(void) {
    long period = streaming ? 1000000000L / rate : 0;
    struct itimerspec each = {{0, period}, {0, period}};
    timerfd_settime(camera, 0, &each, NULL);
}

static size_t scene(char *into) {
    int file = REAL(open)(getenv("V4L2_SCENE"), O_RDONLY);
    ssize_t length = read(file, into, SIZE);
    close(file);
    return length > 0 ? (size_t)length : 0;
}

static struct timeval stamp(void) {
    const char *clock = getenv("V4L2_CLOCK");
    struct timespec now;
    clock_gettime(clock && !strcmp(clock, "realtime") ? CLOCK_REALTIME : CLOCK_MONOTONIC, &now);
    double time = now.tv_sec + now.tv_nsec * 1e-9 - CAPTURED_EARLIER;
    return (struct timeval){(time_t)time, (suseconds_t)((time - (time_t)time) * 1e6)};
}

static int opened(const char *path, int flags) {
    const char *device = getenv("V4L2_DEVICE");
    (void)flags;
    if (!device || !path || strcmp(path, device)) return -1;
    return camera = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
}

#define OPEN(name)                                                    \
    int name(const char *path, int flags, ...) {                      \
        va_list rest;                                                 \
        va_start(rest, flags);                                        \
        int bits = va_arg(rest, int), fd = opened(path, flags);       \
        va_end(rest);                                                 \
        return fd >= 0 ? fd : REAL(name)(path, flags, bits);          \
    }
OPEN(open)
OPEN(open64)

static int refused(int error) {
    errno = error;
    return -1;
}

static int known_format(uint32_t format) {
    for (int i = 0; i < MODE_COUNT; i++)
        if (MODES[i].format == format) return 1;
    return 0;
}

static void show_mode(struct v4l2_format *it) {
    struct v4l2_pix_format *pix = &it->fmt.pix;
    pix->width = MODES[mode].width, pix->height = MODES[mode].height;
    pix->pixelformat = MODES[mode].format, pix->sizeimage = SIZE, pix->field = V4L2_FIELD_NONE;
    pix->bytesperline = pix->pixelformat == V4L2_PIX_FMT_YUYV ? 2 * pix->width : 0;
}

static void choose_mode(const struct v4l2_pix_format *pix) {
    uint32_t format = known_format(pix->pixelformat) ? pix->pixelformat : MODES[0].format;
    int best = -1;
    for (int i = 0; i < MODE_COUNT; i++) /* the nearest size, as drivers do */
        if (MODES[i].format == format &&
            (best < 0 || abs((int)MODES[i].width - (int)pix->width) <
                             abs((int)MODES[best].width - (int)pix->width)))
            best = i;
    mode = best, rate = MODES[best].rates[0];
}

static int answer(unsigned long request, void *data) {
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *it = data;
        memset(it, 0, sizeof *it);
        strcpy((char *)it->driver, "preloaded"), strcpy((char *)it->card, "Preloaded Camera");
        it->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_DEVICE_CAPS;
        it->device_caps = getenv("V4L2_METADATA") ? V4L2_CAP_META_CAPTURE | V4L2_CAP_STREAMING
                                                  : it->capabilities & ~V4L2_CAP_DEVICE_CAPS;
        return 0;
    }
    case VIDIOC_ENUM_FMT: {
        struct v4l2_fmtdesc *it = data;
        if (it->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || it->index > 1) return refused(EINVAL);
        it->pixelformat = it->index ? V4L2_PIX_FMT_YUYV : V4L2_PIX_FMT_MJPEG;
        return 0;
    }
    case VIDIOC_ENUM_FRAMESIZES: {
        struct v4l2_frmsizeenum *it = data;
        uint32_t index = 0;
        for (int i = 0; i < MODE_COUNT; i++)
            if (MODES[i].format == it->pixel_format && index++ == it->index) {
                it->type = V4L2_FRMSIZE_TYPE_DISCRETE;
                it->discrete.width = MODES[i].width, it->discrete.height = MODES[i].height;
                return 0;
            }
        return refused(EINVAL);
    }
    case VIDIOC_ENUM_FRAMEINTERVALS: {
        struct v4l2_frmivalenum *it = data;
        for (int i = 0; i < MODE_COUNT; i++)
            if (MODES[i].format == it->pixel_format && MODES[i].width == it->width &&
                it->index < 2 && MODES[i].rates[it->index]) {
                it->type = V4L2_FRMIVAL_TYPE_DISCRETE;
                it->discrete.numerator = 1, it->discrete.denominator = MODES[i].rates[it->index];
                return 0;
            }
        return refused(EINVAL);
    }
    case VIDIOC_S_FMT: choose_mode(&((struct v4l2_format *)data)->fmt.pix); /* fall through */
    case VIDIOC_G_FMT: show_mode(data); return 0;
    case VIDIOC_S_PARM: {
        struct v4l2_fract each = ((struct v4l2_streamparm *)data)->parm.capture.timeperframe;
        uint32_t asked = each.numerator ? each.denominator / each.numerator : 0;
        for (int i = 0; i < 2; i++)
            if (MODES[mode].rates[i] && MODES[mode].rates[i] == asked) rate = asked;
    } /* fall through */
    case VIDIOC_G_PARM: {
        struct v4l2_captureparm *it = &((struct v4l2_streamparm *)data)->parm.capture;
        it->capability = V4L2_CAP_TIMEPERFRAME;
        it->timeperframe = (struct v4l2_fract){1, rate};
        return 0;
    }
    case VIDIOC_QUERYCTRL: {
        struct v4l2_queryctrl *it = data;
        if (it->id != V4L2_CID_GAIN) return refused(EINVAL);
        it->type = V4L2_CTRL_TYPE_INTEGER, it->minimum = 0, it->maximum = 100, it->step = 1;
        return 0;
    }
    case VIDIOC_S_CTRL: {
        struct v4l2_control *it = data;
        if (it->id != V4L2_CID_GAIN) return refused(EINVAL);
        gain = it->value;
        fprintf(stderr, "gain %d\n", gain);
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *it = data;
        buffers = it->count = it->count > BUFFERS ? BUFFERS : it->count;
        first = count = 0;
        return 0;
    }
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *it = data;
        it->length = SIZE, it->m.offset = it->index * SIZE;
        return 0;
    }
    case VIDIOC_QBUF:
        if (count == BUFFERS) return refused(EINVAL);
        queued[(first + count++) % BUFFERS] = ((struct v4l2_buffer *)data)->index;
        return 0;
    case VIDIOC_DQBUF: {
        struct v4l2_buffer *it = data;
        uint64_t ticks;
        if (!streaming || !count || read(camera, &ticks, sizeof ticks) < 0) return refused(EAGAIN);
        it->index = queued[first], first = (first + 1) % BUFFERS, count--;
        it->bytesused = scene(memory[it->index]);
        if (MODES[mode].format == V4L2_PIX_FMT_YUYV) it->bytesused = 2 * 640 * 480;
        it->timestamp = stamp(), it->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
        it->length = SIZE, it->m.offset = it->index * SIZE;
        return 0;
    }
    case VIDIOC_STREAMON: streaming = 1, set_rate(); return 0;
    case VIDIOC_STREAMOFF: streaming = first = count = 0, set_rate(); return 0;
    default: return refused(EINVAL);
    }
}

int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *data = va_arg(rest, void *);
    va_end(rest);
    request = (uint32_t)request; /* some callers pass a signed int */
    return fd == camera && fd >= 0 ? answer(request, data) : REAL(ioctl)(fd, request, data);
}

#define MAP(name)                                                                        \
    void *name(void *at, size_t length, int access, int flags, int fd, off_t offset) {  \
        if (fd < 0 || fd != camera) return REAL(name)(at, length, access, flags, fd, offset); \
        return memory[offset / SIZE] =                                                   \
                   REAL(name)(NULL, SIZE, PROT_READ | PROT_WRITE,                        \
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);                       \
    }
MAP(mmap)
MAP(mmap64)

int select(int n, fd_set *reads, fd_set *writes, fd_set *errors, struct timeval *timeout) {
    static char seen[SIZE];
    if (camera >= 0 && reads && FD_ISSET(camera, reads) && !scene(seen)) {
        fd_set none;
        FD_ZERO(&none);
        FD_ZERO(reads);
        return REAL(select)(0, &none, NULL, NULL, timeout);
    }
    return REAL(select)(n, reads, writes, errors, timeout);
}
