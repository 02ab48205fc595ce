# What others wrote. Each is linked PRIVATE by the one folder that owns it (see CMakeLists.txt);
# tests may use all of them.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

function(alv_find variable)
  pkg_check_modules(${variable} IMPORTED_TARGET GLOBAL ${ARGN})
  if(NOT ${variable}_FOUND)
    message(FATAL_ERROR "${ARGN} is missing: run dev/setup, then dev/build")
  endif()
endfunction()

alv_find(JANSSON jansson)
alv_find(RDKAFKA rdkafka>=2.12)
alv_find(LIBPQ libpq)
alv_find(MICROHTTPD libmicrohttpd)
alv_find(CURL libcurl)
alv_find(GNUTLS gnutls)
alv_find(CMOCKA cmocka)

# RocksDB's pkg-config file is absent from some distributions; xxhash is used from its header.
find_library(ROCKSDB_LIBRARY rocksdb)
find_path(ROCKSDB_INCLUDE rocksdb/c.h)
find_path(XXHASH_INCLUDE xxhash.h)
if(NOT ROCKSDB_LIBRARY OR NOT ROCKSDB_INCLUDE OR NOT XXHASH_INCLUDE)
  message(FATAL_ERROR "rocksdb or xxhash is missing: run dev/setup, then dev/build")
endif()
add_library(rocksdb INTERFACE)
target_link_libraries(rocksdb INTERFACE ${ROCKSDB_LIBRARY})
target_include_directories(rocksdb SYSTEM INTERFACE ${ROCKSDB_INCLUDE})

# The version stands in a header for C++ alone.
foreach(part MAJOR MINOR PATCH)
  file(STRINGS ${ROCKSDB_INCLUDE}/rocksdb/version.h line REGEX "#define ROCKSDB_${part} ")
  string(REGEX MATCH "[0-9]+" ROCKSDB_${part} "${line}")
endforeach()
set_property(SOURCE ${CMAKE_SOURCE_DIR}/statestore/store_rocksdb_stats.c PROPERTY COMPILE_DEFINITIONS
  ALV_ROCKSDB_VERSION="${ROCKSDB_MAJOR}.${ROCKSDB_MINOR}.${ROCKSDB_PATCH}")

set(alv_third_party PkgConfig::RDKAFKA rocksdb PkgConfig::LIBPQ PkgConfig::MICROHTTPD
  PkgConfig::CURL PkgConfig::GNUTLS)
