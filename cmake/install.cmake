# What `cmake --install` puts where: the program, and what somebody needs who writes behaviors outside of this tree.
# A behavior is linked with nothing of ours, so alluvium.pc names no library.
include(GNUInstallDirs)
set(alv_pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH alv_prefix_from_pc /${alv_pc_dir} /)
string(REGEX REPLACE "/$" "" alv_prefix_from_pc ${alv_prefix_from_pc})

install(TARGETS alluvium RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/alluvium DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN *.h)

# The test kit: what a node runs a command with, for test programs. It shows what include/ marks ALV_PUBLIC.
add_library(alluvium_test SHARED $<TARGET_OBJECTS:alv_testkit>)
target_link_libraries(alluvium_test PRIVATE alv_behaviors alv_flags)
target_link_options(alluvium_test PRIVATE LINKER:--undefined=alv_timestamp_format)
set_target_properties(alluvium_test PROPERTIES OUTPUT_NAME alluvium-test LINKER_LANGUAGE C)
install(TARGETS alluvium_test LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
configure_file(cmake/alluvium-test.pc.in alluvium-test.pc @ONLY)
configure_file(cmake/alluvium.pc.in alluvium.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/alluvium.pc ${CMAKE_BINARY_DIR}/alluvium-test.pc
  DESTINATION ${alv_pc_dir})
