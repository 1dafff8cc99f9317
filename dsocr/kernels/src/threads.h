// Which thread of how many this is; one of one without OpenMP.

#pragma once

#include <cstdint>

#ifdef _OPENMP
#include <omp.h>
inline std::int64_t this_thread() { return omp_get_thread_num(); }
inline std::int64_t team() { return omp_get_num_threads(); }
#else
inline std::int64_t this_thread() { return 0; }
inline std::int64_t team() { return 1; }
#endif
