"""One thread of arithmetic per process: spinning BLAS threads on a busy machine are many times slower than one."""

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
"""Environment variables; they count only if they are set before numpy and torch are imported."""
