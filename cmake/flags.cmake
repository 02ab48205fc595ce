# How our own code is compiled. alv_flags is linked PRIVATE by every target of ours.
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
  set(alv_is_clang TRUE)
endif()

# Hidden by default: what a program shows to libraries of behaviors is what include/ marks ALV_PUBLIC.
#
# "release" keeps symbols (a core dump should tell something) and never defines NDEBUG: asserts of
# ours stay on anyway.
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-Og -g3")
if(alv_is_clang)
  set(CMAKE_C_FLAGS_DEBUG "-O1 -g")
endif()

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

add_library(alv_flags INTERFACE)
target_include_directories(alv_flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/include)
target_compile_definitions(alv_flags INTERFACE _GNU_SOURCE ALV_VERSION="${PROJECT_VERSION}")
target_compile_options(alv_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
  -Werror -fno-common -fstack-protector-strong -fvisibility=hidden)
# Against an overwritten stack and forged jumps; what the machine has of it. docs/security.md lists all that
# hardens the program, cluster/program looks for it in what was built.
include(CheckCCompilerFlag)
foreach(flag -fstack-clash-protection -fcf-protection)
  string(MAKE_C_IDENTIFIER alv_has${flag} has)
  check_c_compiler_flag(${flag} ${has})
  if(${has})
    target_compile_options(alv_flags INTERFACE ${flag})
  endif()
endforeach()
if(alv_is_clang)
  # The first for librdkafka's RD_KAFKA_V_ macros, the second for ALV_ASSERT(!"a reason").
  target_compile_options(alv_flags INTERFACE -Wno-gnu-statement-expression
    -Wno-string-conversion)
else()
  # gcc warns of a result ignored on purpose in spite of the cast to void; clang looks after those.
  target_compile_options(alv_flags INTERFACE -Wno-unused-result)
endif()
target_link_options(alv_flags INTERFACE LINKER:-z,relro,-z,now,-z,noexecstack LINKER:--as-needed)

if(ALLUVIUM_SANITIZE STREQUAL "address")
  set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(ALLUVIUM_SANITIZE STREQUAL "fuzzer") # that of clang, which also counts what code was reached
  set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=all)
  target_compile_options(alv_flags INTERFACE -fsanitize=fuzzer-no-link)
elseif(ALLUVIUM_SANITIZE STREQUAL "thread")
  set(sanitize -fsanitize=thread)
elseif(ALLUVIUM_SANITIZE)
  message(FATAL_ERROR
    "ALLUVIUM_SANITIZE is '${ALLUVIUM_SANITIZE}'; it may be address, thread or fuzzer")
elseif(ALLUVIUM_COVERAGE)
  # Not optimised, so that each line is one; atomic, because threads run the same lines.
  target_compile_options(alv_flags INTERFACE --coverage -fprofile-update=atomic -O0)
  target_link_options(alv_flags INTERFACE --coverage)
else()
  # Undefined first: Ubuntu's compilers define it themselves.
  target_compile_options(alv_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
if(sanitize)
  target_compile_options(alv_flags INTERFACE ${sanitize} -fno-omit-frame-pointer)
  if(NOT alv_is_clang)
    # With the checks in the code, gcc mistakes what it knows of values and buffers.
    target_compile_options(alv_flags INTERFACE -Wno-format-truncation -Wno-maybe-uninitialized)
  endif()
  target_link_options(alv_flags INTERFACE ${sanitize})
endif()

if(ALLUVIUM_LTO)
  include(CheckIPOSupported)
  check_ipo_supported(LANGUAGES C)
  set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
endif()
