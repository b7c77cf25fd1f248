/* The writing side of a ring in C: what `writer`, `recorder` and `measure` do in Python, for the price of
 * reading the clock. Optional: without it everything works in Python, and writes the same bytes.
 *
 * Writer   one ring: put, record, start, end, count, gauge, heartbeat, span
 * Span     a reusable `with` block of one thread
 * measure  a `with` block of its own each time, for any thread or task
 * Timed    a decorated function
 * and, for MetricsCollector, record_start, record_end and record, which find the calling thread's Writer
 *
 * With the interpreter lock no call here can be interrupted between reading `head` and moving it: no Python
 * code runs in between, so threads, signal handlers and gc callbacks come before or after. Free-threaded
 * builds take the object's own lock instead.
 *
 * Order (ARCHITECTURE.md, "Memory order"): an entry's words, then its proof word and `head` by release
 * stores; `tail` by an acquire load before a slot is used again. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <structmember.h>
#include <time.h>

/* ---- the bytes of a ring: `layout.py` draws them, and `native.py` refuses us when it differs ---------- */
enum { WORD = 8, HEAD = 128 / WORD, TAIL = 256 / WORD, DROPPED = 384 / WORD, HEARTBEAT = 512 / WORD };
enum { FACTS_DROPPED = DROPPED + 3, STARTS = 4096 / WORD, MOST_STARTS = 96 };
enum { ENTRIES = 5632 / WORD, ENTRY_WORDS = 4, WEIGHT_SHIFT = 12, CORRELATION_SHIFT = 32 };
#define WEIGHT_MASK UINT64_C(4095)
/* The bits above belong to how many calls an entry stands for. */
#define MAX_EVENT_ID UINT64_C(4095)
#define KIND_BITS (UINT64_C(15) << 24)
#define KIND_COUNT (UINT64_C(2) << 24)
#define KIND_GAUGE (UINT64_C(3) << 24)
/* No entry has this as its third word (kind 15 does not exist): what it stands for is counted as dropped. */
#define UNWRITABLE UINT64_MAX
/* Odd, so that each word of an entry counts with all its bits in a mixed proof (`layout.mixed`). */
#define MIX_SEQUENCE UINT64_C(0x9E3779B97F4A7C15)
#define MIX_END UINT64_C(0xBF58476D1CE4E5B9)
#define MIX_VALUE UINT64_C(0x94D049BB133111EB)

#define LOAD(word) __atomic_load_n((word), __ATOMIC_RELAXED)
#define STORE(word, value) __atomic_store_n((word), (value), __ATOMIC_RELAXED)
#define PUBLISH(word, value) __atomic_store_n((word), (value), __ATOMIC_RELEASE)

#ifndef Py_BEGIN_CRITICAL_SECTION /* before 3.13, and with the interpreter lock, there is nothing to take */
#define Py_BEGIN_CRITICAL_SECTION(object) {
#define Py_END_CRITICAL_SECTION() }
#endif

#if PY_VERSION_HEX >= 0x030D0000
#define IS_FINALIZING() Py_IsFinalizing()
#else
#define IS_FINALIZING() _Py_IsFinalizing()
#endif

static inline uint64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * UINT64_C(1000000000) + (uint64_t)at.tv_nsec;
}

/* ---- arguments: what is no 64-bit integer never raises, it is counted --------------------------------- */
/* An int of one digit, as event ids and short durations are, is read where it stands. */
static inline int small_int(PyObject *object, uint64_t *into) {
    if (!PyLong_Check(object)) {
        return 0;
    }
#if PY_VERSION_HEX >= 0x030C0000
    if (!PyUnstable_Long_IsCompact((PyLongObject *)object)) {
        return 0;
    }
    *into = (uint64_t)PyUnstable_Long_CompactValue((PyLongObject *)object);
#else
    Py_ssize_t digits = Py_SIZE(object);
    if (digits < 0 || digits > 1) {
        return 0;
    }
    *into = digits == 0 ? 0 : ((PyLongObject *)object)->ob_digit[0];
#endif
    return 1;
}

static inline int as_int64(PyObject *object, uint64_t *into) {
    if (small_int(object, into)) {
        return 1;
    }
    long long value = PyLong_AsLongLong(object);
    if (value == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    *into = (uint64_t)value;
    return 1;
}

static int as_uint64(PyObject *object, uint64_t *into) {
    if (!PyLong_Check(object)) {
        return as_int64(object, into) && (int64_t)*into >= 0;
    }
    unsigned long long value = PyLong_AsUnsignedLongLong(object);
    if (value == (unsigned long long)-1 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    *into = value;
    return 1;
}

/* Whether a third word that may be no word at all means a COUNT or GAUGE. */
static int means_fact(PyObject *what) {
    int beyond = 0;
    if (!PyLong_Check(what)) {
        return 0;
    }
    long long value = PyLong_AsLongLongAndOverflow(what, &beyond);
    if (beyond < 0 || (beyond == 0 && value < 0)) {
        return 0;
    }
    return (PyLong_AsUnsignedLongLongMask(what) & KIND_BITS) != 0;
}

/* The third word; UNWRITABLE when event or correlation do not fit. */
static inline uint64_t subject(PyObject *event, PyObject *correlation, uint64_t kind) {
    uint64_t what, which = 0;
    if (!as_int64(event, &what) || what > MAX_EVENT_ID) {
        return UNWRITABLE;
    }
    if (correlation != NULL && (!as_int64(correlation, &which) || which > UINT32_MAX)) {
        return UNWRITABLE;
    }
    return what | which << CORRELATION_SHIFT | kind;
}

/* Places `args` after `names` (terminated by NULL, the first `required` must be there) into `into`. */
static int bind(PyObject *const *args, Py_ssize_t count, PyObject *keywords, const char *const *names,
                int required, PyObject **into) {
    int most = 0;
    while (names[most] != NULL) {
        into[most++] = NULL;
    }
    if (count > most) {
        PyErr_Format(PyExc_TypeError, "at most %d arguments, %zd given", most, count);
        return 0;
    }
    for (Py_ssize_t index = 0; index < count; index++) {
        into[index] = args[index];
    }
    Py_ssize_t named = keywords == NULL ? 0 : PyTuple_GET_SIZE(keywords);
    for (Py_ssize_t index = 0; index < named; index++) {
        PyObject *name = PyTuple_GET_ITEM(keywords, index);
        int place = 0;
        while (place < most && PyUnicode_CompareWithASCIIString(name, names[place]) != 0) {
            place++;
        }
        if (place == most || into[place] != NULL) {
            PyErr_Format(PyExc_TypeError, "unexpected argument %R", name);
            return 0;
        }
        into[place] = args[count + index];
    }
    for (int place = 0; place < required; place++) {
        if (into[place] == NULL) {
            PyErr_Format(PyExc_TypeError, "missing argument '%s'", names[place]);
            return 0;
        }
    }
    return 1;
}

/* ---- Writer ------------------------------------------------------------------------------------------- */
typedef struct Writer {
    PyObject_HEAD
    Py_buffer memory;
    uint64_t *words; /* NULL once closed: every call then does nothing */
    uint64_t capacity;
    uint64_t head;
    uint64_t limit; /* up to here there is room for certain */
    uint64_t dropped;
    uint64_t facts_dropped;
    uint32_t under_way;    /* STARTs that stand there */
    uint32_t start_here;   /* where the next one is looked for first */
    uint32_t starts_above; /* none stands here or beyond */
    uint32_t given_up;     /* STARTs that made room for newer ones and have not ended */
    uint64_t given_up_until; /* when the newest of them began */
    struct Writer *next, *previous;
    PyObject *through; /* a Python put that DURATIONs of MetricsCollector pass: its sampler */
    char flight;
    char mixed;
    char starts; /* MetricsCollector writes STARTs too */
} Writer;

static int drop_fact_locked(Writer *self) {
    if (self->words != NULL) {
        PUBLISH(self->words + FACTS_DROPPED, ++self->facts_dropped);
    }
    return 0;
}

/* Counts as many calls as the entry stands for, or one fact. */
static int drop_locked(Writer *self, uint64_t what) {
    if (what != UNWRITABLE && (what & KIND_BITS) != 0) {
        return drop_fact_locked(self);
    }
    self->dropped += 1 + (what == UNWRITABLE ? 0 : what >> WEIGHT_SHIFT & WEIGHT_MASK);
    PUBLISH(self->words + DROPPED, self->dropped);
    return 0;
}

static inline int put_locked(Writer *self, uint64_t end, uint64_t value, uint64_t what) {
    uint64_t *words = self->words;
    if (words == NULL) {
        return 0;
    }
    if (what == UNWRITABLE) {
        return drop_locked(self, what);
    }
    uint64_t position = self->head;
    if (position >= self->limit && !self->flight) {
        /* Acquire: the reader's loads of the slot come before its store of `tail`. */
        uint64_t tail = __atomic_load_n(words + TAIL, __ATOMIC_ACQUIRE);
        self->limit = (tail < position ? tail : position) + self->capacity;
        if (position >= self->limit) {
            return drop_locked(self, what);
        }
    }
    uint64_t after = position + 1;
    uint64_t *slot = words + ENTRIES + (position & (self->capacity - 1)) * ENTRY_WORDS;
    uint64_t proof = after;
    if (self->mixed) {
        proof = after * MIX_SEQUENCE ^ end * MIX_END ^ value * MIX_VALUE ^ what;
    }
    if (self->flight) { /* somebody may be reading it: disprove it first */
        STORE(slot + 3, 0);
        __atomic_thread_fence(__ATOMIC_RELEASE);
    }
    STORE(slot, end);
    STORE(slot + 1, value);
    STORE(slot + 2, what);
    PUBLISH(slot + 3, proof);
    self->head = after;
    PUBLISH(words + HEAD, after);
    return 1;
}

static inline int put(Writer *self, uint64_t end, uint64_t value, uint64_t what) {
    int written;
    Py_BEGIN_CRITICAL_SECTION(self);
    written = put_locked(self, end, value, what);
    Py_END_CRITICAL_SECTION();
    return written;
}

static void drop_fact(Writer *self) {
    Py_BEGIN_CRITICAL_SECTION(self);
    drop_fact_locked(self);
    Py_END_CRITICAL_SECTION();
}

/* ---- STARTs: what is under way ------------------------------------------------------------------------ */
/* Every Writer there is: who ends a call in another thread than it began in looks for it in all of them. */
static Writer *writers;
#ifdef Py_GIL_DISABLED
static PyMutex writers_lock;
#define LOCK_WRITERS() PyMutex_Lock(&writers_lock)
#define UNLOCK_WRITERS() PyMutex_Unlock(&writers_lock)
#else
#define LOCK_WRITERS()
#define UNLOCK_WRITERS()
#endif

#define START_AT(self, place) ((self)->words + STARTS + 2 * (uint64_t)(place))
enum { NO_START = -1 };

/* Whether it stood there; 0 as event: any. The memory must be held. */
static int wipe_start(Writer *self, int place, uint64_t started, uint64_t event) {
    uint64_t *start = START_AT(self, place), what = LOAD(start + 1);
    if (what == 0 || LOAD(start) != started || (event != 0 && (what & MAX_EVENT_ID) != event) ||
        !__atomic_compare_exchange_n(start + 1, &what, 0, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
        return 0;
    }
    STORE(&self->start_here, (uint32_t)place);
    __atomic_sub_fetch(&self->under_way, 1, __ATOMIC_RELAXED);
    return 1;
}

/* The oldest START makes room: a newer one says more. */
static void give_up_oldest(Writer *self) {
    int oldest = NO_START;
    for (int place = 0; place < MOST_STARTS; place++) {
        if (LOAD(START_AT(self, place) + 1) != 0 &&
            (oldest == NO_START || LOAD(START_AT(self, place)) < LOAD(START_AT(self, oldest)))) {
            oldest = place;
        }
    }
    uint64_t began = oldest == NO_START ? 0 : LOAD(START_AT(self, oldest));
    if (oldest != NO_START && wipe_start(self, oldest, began, 0)) {
        if (began > LOAD(&self->given_up_until)) {
            STORE(&self->given_up_until, began);
        }
        __atomic_add_fetch(&self->given_up, 1, __ATOMIC_RELAXED);
    }
}

/* Whether it made room: then it ends no other. */
static int was_given_up(Writer *self, uint64_t started) {
    if (LOAD(&self->given_up) == 0 || started > LOAD(&self->given_up_until)) {
        return 0;
    }
    __atomic_sub_fetch(&self->given_up, 1, __ATOMIC_RELAXED);
    return 1;
}

/* The place of a START; NO_START of nothing that could be named. */
static int note_start_locked(Writer *self, uint64_t started, uint64_t what) {
    if (self->words == NULL || what == UNWRITABLE || (what & MAX_EVENT_ID) == 0) {
        return NO_START;
    }
    if (LOAD(&self->under_way) >= MOST_STARTS) {
        give_up_oldest(self);
    }
    uint32_t place = LOAD(&self->start_here);
    for (int left = MOST_STARTS; left > 0; left--, place++) {
        place = place < MOST_STARTS ? place : 0;
        uint64_t *start = START_AT(self, place);
        if (LOAD(start + 1) == 0) {
            STORE(start, started);
            PUBLISH(start + 1, what);
            STORE(&self->start_here, place + 1);
            if (place >= LOAD(&self->starts_above)) {
                STORE(&self->starts_above, place + 1);
            }
            __atomic_add_fetch(&self->under_way, 1, __ATOMIC_RELAXED);
            return (int)place;
        }
    }
    return NO_START;
}

static int note_start(Writer *self, uint64_t started, uint64_t what) {
    int place;
    Py_BEGIN_CRITICAL_SECTION(self);
    place = note_start_locked(self, started, what);
    Py_END_CRITICAL_SECTION();
    return place;
}

/* Of one that was noted by this very thread, or by another. */
static void forget_start(Writer *self, int place, uint64_t started) {
    LOCK_WRITERS();
    if (self->words != NULL && !wipe_start(self, place, started, 0)) {
        was_given_up(self, started);
    }
    UNLOCK_WRITERS();
}

/* Of which only time and event are known; 0 as event: any. The writers must be locked. */
static int find_start(Writer *self, uint64_t started, uint64_t event) {
    if (self->words == NULL || LOAD(&self->under_way) == 0) {
        return 0;
    }
    int newest = (int)LOAD(&self->start_here) - 1, above = (int)LOAD(&self->starts_above);
    if (newest >= 0 && wipe_start(self, newest, started, event)) {
        return 1;
    }
    for (int place = 0; place < above; place++) {
        if (wipe_start(self, place, started, event)) {
            return 1;
        }
    }
    return 0;
}

static int find_newest(Writer *self, uint64_t event) {
    int newest = NO_START, above = (int)LOAD(&self->starts_above);
    if (self->words == NULL || LOAD(&self->under_way) == 0) {
        return 0;
    }
    for (int place = 0; place < above; place++) {
        if ((LOAD(START_AT(self, place) + 1) & MAX_EVENT_ID) == event &&
            (newest == NO_START || LOAD(START_AT(self, place)) >= LOAD(START_AT(self, newest)))) {
            newest = place;
        }
    }
    return newest != NO_START && wipe_start(self, newest, LOAD(START_AT(self, newest)), event);
}

/* Where none has both time and event, here or, `elsewhere`, in another thread's ring: who ends it gave
 * another time (the newest of the event ends) or another event (what began then does). */
static void end_start(Writer *likely, uint64_t started, uint64_t what, int elsewhere) {
    uint64_t event = what == UNWRITABLE ? 0 : what & MAX_EVENT_ID;
    LOCK_WRITERS();
    int found = event != 0 && likely != NULL && find_start(likely, started, event);
    for (Writer *one = writers; elsewhere && event != 0 && !found && one != NULL; one = one->next) {
        found = find_start(one, started, event);
    }
    if (!found && likely != NULL) {
        found = was_given_up(likely, started) || (event != 0 && find_newest(likely, event)) ||
                find_start(likely, started, 0);
    }
    for (Writer *one = writers; elsewhere && !found && one != NULL; one = one->next) {
        found = find_start(one, started, 0);
    }
    UNLOCK_WRITERS();
}

static PyObject *Writer_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords)) {
    PyObject *memory;
    unsigned long long capacity;
    int flight, mixed;
    if (!PyArg_ParseTuple(args, "OKpp:Writer", &memory, &capacity, &flight, &mixed)) {
        return NULL;
    }
    if (capacity == 0 || capacity > (UINT64_C(1) << 40) || (capacity & (capacity - 1))) {
        PyErr_Format(PyExc_ValueError, "ring entries %llu: must be a power of two", capacity);
        return NULL;
    }
    Writer *self = (Writer *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    if (PyObject_GetBuffer(memory, &self->memory, PyBUF_WRITABLE) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    uint64_t needed = (ENTRIES + capacity * ENTRY_WORDS) * WORD;
    if ((uint64_t)self->memory.len < needed || (uintptr_t)self->memory.buf % WORD) {
        PyErr_Format(PyExc_ValueError, "memory of %zd bytes: %llu aligned ones are needed", self->memory.len,
                     (unsigned long long)needed);
        Py_DECREF(self);
        return NULL;
    }
    self->words = self->memory.buf;
    self->capacity = capacity;
    self->flight = (char)flight;
    self->mixed = (char)mixed;
    self->head = self->limit = LOAD(self->words + HEAD);
    self->dropped = LOAD(self->words + DROPPED);
    self->facts_dropped = LOAD(self->words + FACTS_DROPPED);
    LOCK_WRITERS();
    self->next = writers;
    if (writers != NULL) {
        writers->previous = self;
    }
    writers = self;
    UNLOCK_WRITERS();
    return (PyObject *)self;
}

static void release(Writer *self) {
    Py_BEGIN_CRITICAL_SECTION(self);
    LOCK_WRITERS();
    self->words = NULL;
    UNLOCK_WRITERS();
    Py_END_CRITICAL_SECTION();
    if (self->memory.obj != NULL) {
        PyBuffer_Release(&self->memory);
    }
}

static int Writer_traverse(Writer *self, visitproc visit, void *arg) {
    Py_VISIT(self->through);
    return 0;
}

static int Writer_clear(Writer *self) {
    Py_CLEAR(self->through);
    return 0;
}

static void Writer_dealloc(Writer *self) {
    PyObject_GC_UnTrack(self);
    LOCK_WRITERS();
    if (self->next != NULL) {
        self->next->previous = self->previous;
    }
    if (self->previous != NULL) {
        self->previous->next = self->next;
    } else if (writers == self) {
        writers = self->next;
    }
    UNLOCK_WRITERS();
    release(self);
    Writer_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *Writer_put(Writer *self, PyObject *const *args, Py_ssize_t count) {
    uint64_t end, value, what;
    if (count != 3) {
        return PyErr_Format(PyExc_TypeError, "put(end_ns, value, what): %zd arguments given", count);
    }
    if (!as_int64(args[0], &end) || !as_int64(args[1], &value) || !as_uint64(args[2], &what)) {
        if (means_fact(args[2])) {
            drop_fact(self);
            Py_RETURN_FALSE;
        }
        end = value = 0;
        what = UNWRITABLE;
    }
    return PyBool_FromLong(put(self, end, value, what));
}

static const char *const EVENT_DURATION[] = {"event_id", "duration_ns", "correlation", NULL};
static const char *const EVENT_N[] = {"event_id", "n", "correlation", NULL};
static const char *const EVENT_VALUE[] = {"event_id", "value", "correlation", NULL};
static const char *const EVENT_START[] = {"event_id", "start_ts", "correlation", NULL};
static const char *const EVENT_ALONE[] = {"event_id", "correlation", NULL};

/* The common case, two positional arguments, without a loop. */
static inline int three(PyObject *const *args, Py_ssize_t count, PyObject *keywords,
                        const char *const *names, int required, PyObject **into) {
    if (keywords == NULL && count == 2) {
        into[0] = args[0];
        into[1] = args[1];
        into[2] = NULL;
        return 1;
    }
    return bind(args, count, keywords, names, required, into);
}

static inline PyObject *write_value(Writer *self, PyObject **given, uint64_t kind) {
    uint64_t value = 1, what = subject(given[0], given[2], kind);
    if (given[1] != NULL && !as_int64(given[1], &value)) {
        what = UNWRITABLE;
    }
    if (what == UNWRITABLE && kind != 0) {
        drop_fact(self);
    } else {
        put(self, now_ns(), value, what);
    }
    Py_RETURN_NONE;
}

static PyObject *Writer_record(Writer *self, PyObject *const *args, Py_ssize_t count, PyObject *keywords) {
    PyObject *given[3];
    return three(args, count, keywords, EVENT_DURATION, 2, given) ? write_value(self, given, 0) : NULL;
}

static PyObject *Writer_count(Writer *self, PyObject *const *args, Py_ssize_t count, PyObject *keywords) {
    PyObject *given[3];
    return three(args, count, keywords, EVENT_N, 1, given) ? write_value(self, given, KIND_COUNT) : NULL;
}

static PyObject *Writer_gauge(Writer *self, PyObject *const *args, Py_ssize_t count, PyObject *keywords) {
    PyObject *given[3];
    return three(args, count, keywords, EVENT_VALUE, 2, given) ? write_value(self, given, KIND_GAUGE) : NULL;
}

static PyObject *Writer_start(Writer *self, PyObject *const *args, Py_ssize_t count, PyObject *keywords) {
    PyObject *given[2];
    if (!bind(args, count, keywords, EVENT_ALONE, 1, given)) {
        return NULL;
    }
    uint64_t started = now_ns();
    note_start(self, started, subject(given[0], given[1], 0));
    return PyLong_FromUnsignedLongLong(started);
}

static PyObject *Writer_end(Writer *self, PyObject *const *args, Py_ssize_t count, PyObject *keywords) {
    PyObject *given[3];
    if (!three(args, count, keywords, EVENT_START, 2, given)) {
        return NULL;
    }
    uint64_t ended = now_ns(), started = 0, what = subject(given[0], given[2], 0);
    int64_t duration = 0;
    if (given[1] == Py_None) {
        Py_RETURN_NONE;
    }
    if (!as_int64(given[1], &started)) {
        what = UNWRITABLE;
    } else if (started == 0) { /* recording was off when it began */
        Py_RETURN_NONE;
    } else if (__builtin_sub_overflow((int64_t)ended, (int64_t)started, &duration)) {
        what = UNWRITABLE;
    }
    put(self, ended, (uint64_t)duration, what);
    if (LOAD(&self->under_way) != 0) {
        end_start(self, started, what, 0);
    }
    Py_RETURN_NONE;
}

static PyObject *Writer_heartbeat(Writer *self, PyObject *Py_UNUSED(none)) {
    Py_BEGIN_CRITICAL_SECTION(self);
    if (self->words != NULL) {
        STORE(self->words + HEARTBEAT, now_ns());
    }
    Py_END_CRITICAL_SECTION();
    Py_RETURN_NONE;
}

static PyObject *Writer_close(Writer *self, PyObject *Py_UNUSED(none)) {
    release(self);
    Py_CLEAR(self->through);
    Py_RETURN_NONE;
}

static PyObject *Writer_divert(Writer *self, PyObject *through) {
    Py_INCREF(through);
    Py_XSETREF(self->through, through);
    Py_RETURN_NONE;
}

static PyObject *Writer_span(Writer *self, PyObject *const *args, Py_ssize_t count, PyObject *keywords);

#define FAST(function) (PyCFunction)(void (*)(void))(function)
/* A docstring whose first line inspect.signature reads. */
#define SIGNED(signature, text) signature "\n--\n\n" text
static PyMethodDef Writer_methods[] = {
    {"put", FAST(Writer_put), METH_FASTCALL, "put(end_ns, value, what) -> whether it was written"},
    {"record", FAST(Writer_record), METH_FASTCALL | METH_KEYWORDS,
     SIGNED("record($self, event_id, duration_ns, correlation=0)", "Record a duration.")},
    {"start", FAST(Writer_start), METH_FASTCALL | METH_KEYWORDS,
     SIGNED("start($self, event_id, correlation=0)", "The time of a start, ns; pass it to `end`.")},
    {"end", FAST(Writer_end), METH_FASTCALL | METH_KEYWORDS,
     SIGNED("end($self, event_id, start_ts, correlation=0)", "Record what began at `start_ts`.")},
    {"count", FAST(Writer_count), METH_FASTCALL | METH_KEYWORDS,
     SIGNED("count($self, event_id, n=1, correlation=0)", "Add to a counter.")},
    {"gauge", FAST(Writer_gauge), METH_FASTCALL | METH_KEYWORDS,
     SIGNED("gauge($self, event_id, value, correlation=0)", "The newest value stands.")},
    {"span", FAST(Writer_span), METH_FASTCALL | METH_KEYWORDS,
     SIGNED("span($self, event_id, correlation=0)", "A reusable block.")},
    {"heartbeat", FAST(Writer_heartbeat), METH_NOARGS, "store the time in the header"},
    {"close", FAST(Writer_close), METH_NOARGS, "let go of the memory; later calls do nothing"},
    {"divert", FAST(Writer_divert), METH_O, "let MetricsCollector's DURATIONs pass a Python put"},
    {NULL, NULL, 0, NULL},
};
static PyMemberDef Writer_members[] = {
    {"starts", T_BOOL, offsetof(Writer, starts), 0, "whether MetricsCollector writes STARTs here"},
    {NULL, 0, 0, 0, NULL},
};
static PyTypeObject WriterType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pipeline.telemetry._fast.Writer",
    .tp_basicsize = sizeof(Writer),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_doc = "Writer(memory, capacity, flight, mixed): the writing side of one ring",
    .tp_new = Writer_new,
    .tp_dealloc = (destructor)Writer_dealloc,
    .tp_traverse = (traverseproc)Writer_traverse,
    .tp_clear = (inquiry)Writer_clear,
    .tp_methods = Writer_methods,
    .tp_members = Writer_members,
};

/* ---- `with` for nothing: __enter__ and __exit__ of a block are the block itself, which tells them by its
 * arguments. Looking up a method binds a new object each time, twice a block; looking up this descriptor does
 * not. Of the class it gives a callable that takes the block first, as any method of a class does. */
typedef struct {
    PyObject_HEAD
    PyTypeObject *of; /* static, as all block types are */
    Py_ssize_t takes; /* arguments beside the block */
} Itself;

static PyObject *itself_get(PyObject *self, PyObject *object, PyObject *Py_UNUSED(type)) {
    PyObject *found = object == NULL ? self : object;
    Py_INCREF(found);
    return found;
}

static PyObject *itself_call(PyObject *callable, PyObject *args, PyObject *keywords) {
    Itself *self = (Itself *)callable;
    Py_ssize_t count = PyTuple_GET_SIZE(args);
    if (count != self->takes + 1 || (keywords != NULL && PyDict_GET_SIZE(keywords) != 0) ||
        !PyObject_TypeCheck(PyTuple_GET_ITEM(args, 0), self->of)) {
        return PyErr_Format(PyExc_TypeError, "%s.%s takes a block and %zd more arguments", self->of->tp_name,
                            self->takes ? "__exit__" : "__enter__", self->takes);
    }
    PyObject *const *given = &PyTuple_GET_ITEM(args, 0);
    return PyObject_Vectorcall(given[0], given + 1, (size_t)self->takes, NULL);
}

static PyTypeObject ItselfType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pipeline.telemetry._fast._itself",
    .tp_basicsize = sizeof(Itself),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_descr_get = itself_get,
    .tp_call = itself_call,
};

static int add_itself(PyTypeObject *type, const char *name, Py_ssize_t takes) {
    Itself *itself = PyObject_New(Itself, &ItselfType);
    if (itself == NULL) {
        return -1;
    }
    itself->of = type;
    itself->takes = takes;
    int failed = PyDict_SetItemString(type->tp_dict, name, (PyObject *)itself);
    Py_DECREF(itself);
    return failed;
}

static int make_block(PyTypeObject *type) {
    if (PyType_Ready(type) < 0 || add_itself(type, "__enter__", 0) < 0 ||
        add_itself(type, "__exit__", 3) < 0) {
        return -1;
    }
    PyType_Modified(type);
    return 0;
}

/* With one more way to end a block, for `measure_async`: calling it with None. */
static inline int ends_block(PyObject *const *args, size_t count, PyObject *keywords) {
    Py_ssize_t given = PyVectorcall_NARGS(count);
    if (keywords == NULL && (given == 3 || (given == 1 && args[0] == Py_None))) {
        return 1;
    }
    PyErr_SetString(PyExc_TypeError, "this is a block for `with`: a function is measured by "
                                     "@measure_sync(event) or @measure_async(event)");
    return 0;
}

/* ---- Span: a block of one thread, made once and used often -------------------------------------------- */
enum { SPAN_DEPTH = 16 };
typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    Writer *writer;
    uint64_t what;
    Py_ssize_t depth; /* of blocks inside each other; beyond SPAN_DEPTH they are counted as dropped */
    uint64_t started[SPAN_DEPTH];
} Span;

static PyObject *Span_call(PyObject *callable, PyObject *const *args, size_t count, PyObject *keywords) {
    Span *self = (Span *)callable;
    if (PyVectorcall_NARGS(count) == 0 && keywords == NULL) { /* __enter__() */
        if (self->depth < SPAN_DEPTH) {
            self->started[self->depth] = now_ns();
        }
        self->depth++;
    } else if (!ends_block(args, count, keywords)) {
        return NULL;
    } else if (self->depth > 0) { /* __exit__(kind, error, trace) */
        uint64_t ended = now_ns();
        self->depth--;
        if (self->depth < SPAN_DEPTH) {
            put(self->writer, ended, ended - self->started[self->depth], self->what);
        } else {
            put(self->writer, 0, 0, UNWRITABLE);
        }
    }
    Py_RETURN_NONE;
}

static void Span_dealloc(Span *self) {
    Py_XDECREF(self->writer);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyTypeObject SpanType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pipeline.telemetry._fast.Span",
    .tp_basicsize = sizeof(Span),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "A reusable `with` block of one thread.",
    .tp_vectorcall_offset = offsetof(Span, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_dealloc = (destructor)Span_dealloc,
};

static PyObject *Writer_span(Writer *self, PyObject *const *args, Py_ssize_t count, PyObject *keywords) {
    PyObject *given[2];
    if (!bind(args, count, keywords, EVENT_ALONE, 1, given)) {
        return NULL;
    }
    Span *span = (Span *)SpanType.tp_alloc(&SpanType, 0);
    if (span != NULL) {
        Py_INCREF(self);
        span->writer = self;
        span->vectorcall = Span_call;
        span->what = subject(given[0], given[1], 0);
    }
    return (PyObject *)span;
}

/* ---- MetricsCollector: the Writer of the calling thread ----------------------------------------------- */
static int recording = 1;
static int published; /* some Writer has had STARTs of ours */
static uint64_t generation = 1; /* raised when every thread must ask for its Writer again */
static PyObject *open_thread;   /* called without arguments in a thread that has none; adopts one, or not */
static PyObject *correlation;   /* a ContextVar, once somebody uses it */
#ifdef __GLIBC__ /* found without a call; glibc keeps room for this little in modules loaded later */
#define THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))
#else
#define THREAD_LOCAL _Thread_local
#endif
static THREAD_LOCAL struct {
    uint64_t generation;
    Writer *writer; /* borrowed from a Hold of this thread; NULL: this thread records nothing */
} here;

/* What keeps a thread's Writer: it dies with the thread's locals, in this thread, and `here` with it. */
typedef struct {
    PyObject_HEAD
    Writer *writer;
} Hold;

static void Hold_dealloc(Hold *self) {
    if (here.writer == self->writer) {
        here.writer = NULL;
    }
    Py_XDECREF(self->writer);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyTypeObject HoldType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pipeline.telemetry._fast.Hold",
    .tp_basicsize = sizeof(Hold),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "Keeps the Writer that this thread records with.",
    .tp_dealloc = (destructor)Hold_dealloc,
};

static void open_here(void) {
    uint64_t asked = LOAD(&generation);
    /* At the interpreter's end nobody would read a new ring, and the modules that make one may be empty. */
    if (open_thread == NULL || IS_FINALIZING()) {
        return;
    }
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    PyObject *done = PyObject_CallNoArgs(open_thread);
    if (done == NULL) {
        PyErr_WriteUnraisable(open_thread);
    }
    Py_XDECREF(done);
    PyErr_Restore(kind, error, trace);
    if (here.generation != asked) { /* no ring could be had: this is not asked again each time */
        here.generation = asked;
        here.writer = NULL;
    }
}

static inline Writer *writer_here(void) {
    if (here.generation != LOAD(&generation)) {
        open_here();
        if (here.generation != LOAD(&generation)) {
            return NULL;
        }
    }
    return here.writer;
}

static uint64_t correlation_now(void) {
    PyObject *value = NULL, *variable = correlation;
    uint64_t found = 0;
    if (variable == NULL || PyContextVar_Get(variable, NULL, &value) < 0) {
        PyErr_Clear();
        return 0;
    }
    if (value != NULL) {
        if (!as_int64(value, &found)) {
            found = 0;
        }
        Py_DECREF(value);
    }
    return (found & UINT32_MAX) << CORRELATION_SHIFT;
}

static inline uint64_t with_correlation(uint64_t what) {
    return correlation == NULL || what == UNWRITABLE ? what : what | correlation_now();
}

static void put_through(PyObject *through, uint64_t end, uint64_t value, uint64_t what) {
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    Py_INCREF(through);
    PyObject *done = PyObject_CallFunction(through, "KLK", (unsigned long long)end, (long long)value,
                                           (unsigned long long)what);
    if (done == NULL) {
        PyErr_WriteUnraisable(through);
    }
    Py_XDECREF(done);
    Py_DECREF(through);
    PyErr_Restore(kind, error, trace);
}

static inline void put_duration(uint64_t end, uint64_t value, uint64_t what) {
    Writer *writer = writer_here();
    if (writer == NULL) {
        return;
    }
    if (writer->through != NULL && what != UNWRITABLE) {
        put_through(writer->through, end, value, what);
    } else {
        put(writer, end, value, what);
    }
}

/* A call of MetricsCollector's that is under way. */
typedef struct {
    uint64_t started; /* 0: recording was off */
    Writer *writer;   /* owned: where its START stands; NULL: nowhere */
    int place;
} Begun;

/* The time at which something of MetricsCollector begins; 0 while recording is off. */
static inline Writer *begin(uint64_t *started) {
    if (!recording) {
        *started = 0;
        return NULL;
    }
    Writer *writer = writer_here(); /* first: making a ring is no part of what is measured */
    *started = now_ns();
    return writer != NULL && writer->starts ? writer : NULL;
}

static inline void begin_call(Begun *begun, uint64_t what) {
    Writer *writer = begin(&begun->started);
    begun->writer = NULL;
    if (writer != NULL && (begun->place = note_start(writer, begun->started, with_correlation(what))) != NO_START) {
        Py_INCREF(writer);
        begun->writer = writer;
    }
}

/* Its START is wiped last: who is killed in between has both, and a reader sees that. */
static inline void end_call(Begun *begun, uint64_t what) {
    if (begun->started != 0 && recording) {
        uint64_t ended = now_ns();
        put_duration(ended, ended - begun->started, with_correlation(what));
    }
    if (begun->writer != NULL) {
        forget_start(begun->writer, begun->place, begun->started);
        Py_CLEAR(begun->writer);
    }
}

static PyObject *fast_record_start(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count,
                                   PyObject *keywords) {
    PyObject *given[1];
    static const char *const NAMES[] = {"event_id", NULL};
    if (keywords == NULL && count == 1) {
        given[0] = args[0];
    } else if (!bind(args, count, keywords, NAMES, 1, given)) {
        return NULL;
    }
    uint64_t started;
    Writer *writer = begin(&started);
    if (writer != NULL) {
        note_start(writer, started, with_correlation(subject(given[0], NULL, 0)));
    }
    return PyLong_FromUnsignedLongLong(started);
}

static PyObject *fast_record_end(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count,
                                 PyObject *keywords) {
    PyObject *given[3];
    uint64_t started = 0;
    static const char *const NAMES[] = {"event_id", "start_ts", NULL};
    if (!three(args, count, keywords, NAMES, 2, given)) {
        return NULL;
    }
    uint64_t what = subject(given[0], NULL, 0);
    if (given[1] == Py_None || !(recording || published)) {
        Py_RETURN_NONE;
    }
    int64_t duration = 0;
    uint64_t ended = now_ns();
    if (!as_int64(given[1], &started)) {
        what = UNWRITABLE;
    } else if (started == 0) {
        Py_RETURN_NONE;
    } else if (__builtin_sub_overflow((int64_t)ended, (int64_t)started, &duration)) {
        what = UNWRITABLE;
    }
    if (recording) {
        put_duration(ended, (uint64_t)duration, with_correlation(what));
    }
    if (published) {
        end_start(here.generation == LOAD(&generation) ? here.writer : NULL, started, what, 1);
    }
    Py_RETURN_NONE;
}

static PyObject *fast_record(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count,
                             PyObject *keywords) {
    PyObject *given[3];
    uint64_t duration = 0;
    static const char *const NAMES[] = {"event_id", "duration_ns", NULL};
    if (!three(args, count, keywords, NAMES, 2, given)) {
        return NULL;
    }
    if (recording) {
        uint64_t what = subject(given[0], NULL, 0);
        if (!as_int64(given[1], &duration)) {
            what = UNWRITABLE;
        }
        put_duration(now_ns(), duration, with_correlation(what));
    }
    Py_RETURN_NONE;
}

static PyObject *fast_adopt(PyObject *Py_UNUSED(module), PyObject *writer) {
    if (!Py_IS_TYPE(writer, &WriterType)) {
        return PyErr_Format(PyExc_TypeError, "adopt(writer): %R is none", writer);
    }
    Hold *hold = (Hold *)HoldType.tp_alloc(&HoldType, 0);
    if (hold != NULL) {
        Py_INCREF(writer);
        hold->writer = here.writer = (Writer *)writer;
        published |= here.writer->starts;
        here.generation = LOAD(&generation);
    }
    return (PyObject *)hold;
}

static PyObject *fast_forget_threads(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
    STORE(&generation, generation + 1);
    Py_RETURN_NONE;
}

static PyObject *fast_configure(PyObject *Py_UNUSED(module), PyObject *opener) {
    Py_INCREF(opener);
    Py_XSETREF(open_thread, opener);
    STORE(&generation, generation + 1);
    Py_RETURN_NONE;
}

static PyObject *fast_set_recording(PyObject *Py_UNUSED(module), PyObject *on) {
    int wanted = PyObject_IsTrue(on);
    if (wanted < 0) {
        return NULL;
    }
    recording = wanted;
    Py_RETURN_NONE;
}

static PyObject *fast_correlate_by(PyObject *Py_UNUSED(module), PyObject *variable) {
    if (!PyContextVar_CheckExact(variable)) {
        return PyErr_Format(PyExc_TypeError, "correlate_by(variable): %R is no ContextVar", variable);
    }
    Py_INCREF(variable);
    Py_XSETREF(correlation, variable);
    Py_RETURN_NONE;
}

/* ---- measure: a block of its own each time ------------------------------------------------------------ */
typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    uint64_t what;
    Begun begun;
} Measure;

static PyTypeObject MeasureType;
#ifndef Py_GIL_DISABLED
enum { SPARE = 32 }; /* one a nested block or waiting task, up to here */
static Measure *spare[SPARE];
static int spares;
#endif

static PyObject *Measure_call(PyObject *callable, PyObject *const *args, size_t count, PyObject *keywords) {
    Measure *self = (Measure *)callable;
    if (PyVectorcall_NARGS(count) == 0 && keywords == NULL) { /* __enter__() */
        if (self->begun.writer != NULL) { /* again before its end: one stands there, no more */
            forget_start(self->begun.writer, self->begun.place, self->begun.started);
            Py_CLEAR(self->begun.writer);
        }
        begin_call(&self->begun, self->what);
    } else if (!ends_block(args, count, keywords)) {
        return NULL;
    } else { /* __exit__(kind, error, trace) */
        end_call(&self->begun, self->what);
    }
    Py_RETURN_NONE;
}

static inline Measure *measure_of(uint64_t what) {
    Measure *self = NULL;
#ifndef Py_GIL_DISABLED
    if (spares > 0) {
        self = spare[--spares];
        PyObject_Init((PyObject *)self, &MeasureType);
    }
#endif
    if (self == NULL) {
        self = PyObject_New(Measure, &MeasureType);
        if (self == NULL) {
            return NULL;
        }
        self->vectorcall = Measure_call;
    }
    self->what = what;
    self->begun.started = 0;
    self->begun.writer = NULL;
    return self;
}

static PyObject *Measure_make(PyObject *Py_UNUSED(type), PyObject *const *args, size_t count,
                              PyObject *keywords) {
    PyObject *given[1];
    static const char *const NAMES[] = {"event_id", NULL};
    Py_ssize_t positional = PyVectorcall_NARGS(count);
    if (keywords == NULL && positional == 1) {
        given[0] = args[0];
    } else if (!bind(args, positional, keywords, NAMES, 1, given)) {
        return NULL;
    }
    return (PyObject *)measure_of(subject(given[0], NULL, 0));
}

static void Measure_dealloc(Measure *self) {
    if (self->begun.writer != NULL) { /* never ended, and nobody can end it any more */
        forget_start(self->begun.writer, self->begun.place, self->begun.started);
        Py_CLEAR(self->begun.writer);
    }
#ifndef Py_GIL_DISABLED
    if (spares < SPARE) {
        spare[spares++] = self;
        return;
    }
#endif
    PyObject_Free(self);
}

static PyTypeObject MeasureType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pipeline.telemetry._fast.measure",
    .tp_basicsize = sizeof(Measure),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = SIGNED("measure(event_id)",
                     "`with measure(EventID.ORDER_PLACEMENT): …`. One object a use; nesting and threads are fine."),
    .tp_vectorcall_offset = offsetof(Measure, vectorcall),
    .tp_vectorcall = Measure_make,
    .tp_call = PyVectorcall_Call,
    .tp_dealloc = (destructor)Measure_dealloc,
};

/* ---- Lap: makes blocks of one event that have begun already; calling one with anything ends it -------- */
typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    uint64_t what;
} Lap;

static PyObject *Lap_call(PyObject *callable, PyObject *const *Py_UNUSED(args), size_t Py_UNUSED(count),
                          PyObject *Py_UNUSED(keywords)) {
    Measure *begun = measure_of(((Lap *)callable)->what);
    if (begun != NULL) {
        begin_call(&begun->begun, begun->what);
    }
    return (PyObject *)begun;
}

static PyTypeObject LapType;

static PyObject *Lap_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords)) {
    PyObject *event;
    if (!PyArg_ParseTuple(args, "O:Lap", &event)) {
        return NULL;
    }
    Lap *self = (Lap *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->vectorcall = Lap_call;
        self->what = subject(event, NULL, 0);
    }
    return (PyObject *)self;
}

static PyTypeObject LapType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pipeline.telemetry._fast.Lap",
    .tp_basicsize = sizeof(Lap),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_doc = "Lap(event_id): lap() -> begun; begun(None) records",
    .tp_vectorcall_offset = offsetof(Lap, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_new = Lap_new,
};

/* ---- Timed: a decorated function ---------------------------------------------------------------------- */
typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *function;
    PyObject *dict;
    PyObject *weak;
    uint64_t what;
} Timed;

static PyObject *Timed_call(PyObject *callable, PyObject *const *args, size_t count, PyObject *keywords) {
    Timed *self = (Timed *)callable;
    Begun begun;
    begin_call(&begun, self->what);
    PyObject *result = PyObject_Vectorcall(self->function, args, count, keywords);
    end_call(&begun, self->what);
    return result;
}

static PyObject *Timed_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords)) {
    PyObject *function, *event;
    if (!PyArg_ParseTuple(args, "OO:Timed", &function, &event)) {
        return NULL;
    }
    Timed *self = (Timed *)type->tp_alloc(type, 0);
    if (self != NULL) {
        Py_INCREF(function);
        self->function = function;
        self->what = subject(event, NULL, 0);
        self->vectorcall = Timed_call;
    }
    return (PyObject *)self;
}

static int Timed_traverse(Timed *self, visitproc visit, void *arg) {
    Py_VISIT(self->function);
    Py_VISIT(self->dict);
    return 0;
}

static int Timed_clear(Timed *self) {
    Py_CLEAR(self->function);
    Py_CLEAR(self->dict);
    return 0;
}

static void Timed_dealloc(Timed *self) {
    PyObject_GC_UnTrack(self);
    if (self->weak != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    Timed_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *Timed_get(PyObject *self, PyObject *object, PyObject *Py_UNUSED(type)) {
    if (object == NULL || object == Py_None) {
        Py_INCREF(self);
        return self;
    }
    return PyMethod_New(self, object);
}

static PyObject *Timed_repr(Timed *self) { return PyUnicode_FromFormat("<measured %R>", self->function); }

/* Pickled as a function is: by its name. */
static PyObject *Timed_reduce(PyObject *self, PyObject *Py_UNUSED(none)) {
    return PyObject_GetAttrString(self, "__qualname__");
}

static PyMethodDef Timed_methods[] = {
    {"__reduce__", FAST(Timed_reduce), METH_NOARGS, "pickled by its name"},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef Timed_attributes[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyTypeObject TimedType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pipeline.telemetry._fast.Timed",
    .tp_basicsize = sizeof(Timed),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                Py_TPFLAGS_METHOD_DESCRIPTOR,
    .tp_doc = "Timed(function, event_id): each call is measured.",
    .tp_vectorcall_offset = offsetof(Timed, vectorcall),
    .tp_dictoffset = offsetof(Timed, dict),
    .tp_weaklistoffset = offsetof(Timed, weak),
    .tp_call = PyVectorcall_Call,
    .tp_new = Timed_new,
    .tp_repr = (reprfunc)Timed_repr,
    .tp_descr_get = Timed_get,
    .tp_dealloc = (destructor)Timed_dealloc,
    .tp_traverse = (traverseproc)Timed_traverse,
    .tp_clear = (inquiry)Timed_clear,
    .tp_methods = Timed_methods,
    .tp_getset = Timed_attributes,
};

/* ---- the reader's side -------------------------------------------------------------------------------- */
static PyObject *fast_fence(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    Py_RETURN_NONE;
}

/* ---- the module --------------------------------------------------------------------------------------- */
static PyMethodDef fast_functions[] = {
    {"record_start", FAST(fast_record_start), METH_FASTCALL | METH_KEYWORDS,
     SIGNED("record_start($module, event_id)", "The time of a start, ns; 0 while off.")},
    {"record_end", FAST(fast_record_end), METH_FASTCALL | METH_KEYWORDS,
     SIGNED("record_end($module, event_id, start_ts)", "Record what began at `start_ts`.")},
    {"record", FAST(fast_record), METH_FASTCALL | METH_KEYWORDS,
     SIGNED("record($module, event_id, duration_ns)", "Record a duration.")},
    {"adopt", FAST(fast_adopt), METH_O, "adopt(writer) -> what keeps it as this thread's"},
    {"forget_threads", FAST(fast_forget_threads), METH_NOARGS, "let every thread open again"},
    {"configure", FAST(fast_configure), METH_O, "configure(open_thread): what opens a thread's Writer"},
    {"set_recording", FAST(fast_set_recording), METH_O, "set_recording(on)"},
    {"correlate_by", FAST(fast_correlate_by), METH_O, "correlate_by(variable): put its value in entries"},
    {"fence", FAST(fast_fence), METH_NOARGS, "a full memory fence"},
    {NULL, NULL, 0, NULL},
};

static int fast_exec(PyObject *module) {
    PyTypeObject *types[] = {&WriterType, &TimedType, &LapType, &HoldType};
    if (PyType_Ready(&ItselfType) < 0 || make_block(&SpanType) < 0 || make_block(&MeasureType) < 0) {
        return -1;
    }
    for (size_t index = 0; index < sizeof types / sizeof *types; index++) {
        if (PyModule_AddType(module, types[index]) < 0) {
            return -1;
        }
    }
    Py_INCREF(&MeasureType);
    if (PyModule_AddObject(module, "measure", (PyObject *)&MeasureType) < 0) {
        return -1;
    }
    PyObject *layout = Py_BuildValue("(iiiiiiiiii)", HEAD, TAIL, DROPPED, FACTS_DROPPED, HEARTBEAT, STARTS,
                                     MOST_STARTS, ENTRIES, ENTRY_WORDS, 8);
    if (layout == NULL || PyModule_AddObject(module, "LAYOUT", layout) < 0) {
        return -1;
    }
    return 0;
}

static PyModuleDef_Slot fast_slots[] = {
    {Py_mod_exec, fast_exec},
#ifdef Py_MOD_PER_INTERPRETER_GIL_SUPPORTED
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};
static struct PyModuleDef fast_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pipeline.telemetry._fast",
    .m_doc = "The writing side of a ring in C; see pipeline.telemetry.native.",
    .m_size = 0,
    .m_methods = fast_functions,
    .m_slots = fast_slots,
};

PyMODINIT_FUNC PyInit__fast(void) { return PyModuleDef_Init(&fast_module); }
