# The target "headers" compiles every header of the project alone, and twice in one file: it must
# bring what it needs and bear being included again.
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}
  ${CMAKE_SOURCE_DIR}/base/*.h ${CMAKE_SOURCE_DIR}/topics/*.h ${CMAKE_SOURCE_DIR}/statestore/*.h
  ${CMAKE_SOURCE_DIR}/changelog/*.h ${CMAKE_SOURCE_DIR}/processor/*.h
  ${CMAKE_SOURCE_DIR}/behaviors/*.h ${CMAKE_SOURCE_DIR}/testkit/*.h ${CMAKE_SOURCE_DIR}/api/*.h ${CMAKE_SOURCE_DIR}/cli/*.h
  ${CMAKE_SOURCE_DIR}/include/*.h ${CMAKE_SOURCE_DIR}/tests/*.h)

foreach(header IN LISTS headers)
  set(source ${CMAKE_BINARY_DIR}/headers/${header}.c)
  # An empty translation unit is not C: the declaration is for headers of macros alone.
  file(CONFIGURE OUTPUT ${source} @ONLY CONTENT
    "#include \"@header@\"\n#include \"@header@\"\nextern int alv_header_check;\n")
  list(APPEND header_sources ${source})
endforeach()

if(header_sources)
  add_library(headers OBJECT ${header_sources})
  target_link_libraries(headers PRIVATE alv_flags PkgConfig::JANSSON PkgConfig::CMOCKA
    ${alv_third_party})
  if(NOT ALLUVIUM_HEADERS)
    set_target_properties(headers PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
else()
  add_custom_target(headers)
endif()
