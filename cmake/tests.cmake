# tests/<suite>/**/test_<name>.c is one program, tests/<suite>/<name> in the build folder, and the
# ctest <suite>/<name> with the suite as its label. Exit status 77 means that all of it was skipped.
function(alv_executable target source output)
  get_filename_component(folder ${output} DIRECTORY)
  get_filename_component(name ${output} NAME)
  add_executable(${target} ${source})
  target_link_libraries(${target} PRIVATE ${ARGN} alv_flags)
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name}
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/${folder})
endfunction()

alv_layer(tests/support BELOW cli SHARES PkgConfig::CMOCKA ${alv_third_party})

# The simulator (tests/sim) links a build of its own of the product, in which ALV_PLANT is defined, so
# that bugs can be planted (base/plant.h); nothing else is different. Without cli/, and of api/ only
# what follows from what peers say.
foreach(folder base topics statestore changelog processor behaviors)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.c)
  list(APPEND planted_sources ${sources})
endforeach()
list(APPEND planted_sources ${CMAKE_SOURCE_DIR}/api/peer_verdict.c
  ${CMAKE_SOURCE_DIR}/api/peer_hearing.c ${CMAKE_SOURCE_DIR}/api/peer_saying.c)
add_library(alv_planted STATIC EXCLUDE_FROM_ALL ${planted_sources})
target_compile_definitions(alv_planted PRIVATE ALV_PLANT)
target_link_libraries(alv_planted PUBLIC PkgConfig::JANSSON Threads::Threads m
  PRIVATE alv_flags ${alv_third_party} ${CMAKE_DL_LIBS})

file(GLOB sim_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/sim/sim_*.c)
list(REMOVE_ITEM sim_sources ${CMAKE_SOURCE_DIR}/tests/sim/sim_main.c)
add_library(alv_sim STATIC EXCLUDE_FROM_ALL ${sim_sources})
target_compile_definitions(alv_sim PUBLIC ALV_PLANT)
target_link_libraries(alv_sim PUBLIC alv_planted PkgConfig::CMOCKA PRIVATE alv_flags)
alv_executable(sim ${CMAKE_SOURCE_DIR}/tests/sim/sim_main.c tests/sim/sim alv_sim)

set(unit_timeout 60)
set(component_timeout 180)
set(sim_timeout 300)
set(cluster_timeout 900)
set(browser_timeout 900)
foreach(suite unit component sim cluster browser)
  file(GLOB_RECURSE tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${suite}/test_*.c)
  foreach(source IN LISTS tests)
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "" name ${name})
    set(support alv_tests_support)
    if(suite STREQUAL "sim")
      set(support alv_sim)
    endif()
    alv_executable(${suite}_${name} ${source} tests/${suite}/${name} ${support})
    add_test(NAME ${suite}/${name} COMMAND ${suite}_${name})
    set_tests_properties(${suite}/${name} PROPERTIES LABELS ${suite}
      TIMEOUT ${${suite}_timeout} SKIP_RETURN_CODE 77)
  endforeach()
endforeach()

# tests/plugins/<name>.c is a shared object, tests/plugins/<name>.so in the build folder, compiled as an author
# outside of this tree would. The unit test that loads them plays the program.
file(GLOB plugins CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/plugins/*.c)
foreach(source IN LISTS plugins)
  get_filename_component(name ${source} NAME_WE)
  add_library(plugin_${name} MODULE ${source})
  target_link_libraries(plugin_${name} PRIVATE alv_flags PkgConfig::JANSSON)
  set_target_properties(plugin_${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name}
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/plugins)
  foreach(test unit_library cluster_libraries cluster_global_tables cluster_expiry_nodes)
    add_dependencies(${test} plugin_${name})
  endforeach()
endforeach()
add_dependencies(cluster_libraries alluvium_test)
add_dependencies(cluster_examples alluvium alluvium_test) # which it installs
target_sources(unit_library PRIVATE $<TARGET_OBJECTS:alv_testkit>)
set_target_properties(unit_library PROPERTIES ENABLE_EXPORTS ON)

# tests/fuzz/fuzz_<name>.c, which has LLVMFuzzerTestOneInput, is the program tests/fuzz/<name>: libFuzzer in
# the preset fuzz; anywhere else the ctest fuzz/<name>, which runs the inputs of tests/fuzz/corpus/<name>.
add_custom_target(fuzzers)
file(GLOB fuzzers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_*.c)
foreach(source IN LISTS fuzzers)
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "^fuzz_" "" name ${name})
  alv_executable(fuzz_${name} ${source} tests/fuzz/${name} alv_tests_support)
  add_dependencies(fuzzers fuzz_${name})
  if(ALLUVIUM_SANITIZE STREQUAL "fuzzer")
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c)
    target_compile_definitions(fuzz_${name} PRIVATE
      ALV_FUZZ_CORPUS="${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name}")
    add_test(NAME fuzz/${name} COMMAND fuzz_${name})
    set_tests_properties(fuzz/${name} PROPERTIES LABELS fuzz TIMEOUT 60)
  endif()
endforeach()
