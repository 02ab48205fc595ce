# What `cmake --install` puts where: the program, and what somebody needs who writes behaviors outside of this tree.
# A behavior is linked with nothing of ours, so alluvium.pc names no library.
include(GNUInstallDirs)
set(alv_pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH alv_prefix_from_pc /${alv_pc_dir} /)
string(REGEX REPLACE "/$" "" alv_prefix_from_pc ${alv_prefix_from_pc})

install(TARGETS alluvium RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/alluvium DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN *.h)
configure_file(cmake/alluvium.pc.in alluvium.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/alluvium.pc DESTINATION ${alv_pc_dir})
