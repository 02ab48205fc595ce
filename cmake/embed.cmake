# alv_embed(TARGET FILE SYMBOL) makes the content of FILE a part of the library TARGET:
#     extern const char SYMBOL[];          followed by a NUL that does not count
#     extern const size_t SYMBOL_size;
# Run as a script (with -P) it writes the C file; ninja does so whenever FILE has changed.
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ ${FILE} bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  file(WRITE ${OUTPUT} "#include <stddef.h>\nextern const char ${SYMBOL}[];\n"
    "extern const size_t ${SYMBOL}_size;\nconst char ${SYMBOL}[] = {${bytes}0};\n"
    "const size_t ${SYMBOL}_size = sizeof ${SYMBOL} - 1;\n")
  return()
endif()

function(alv_embed target file symbol)
  set(output ${CMAKE_BINARY_DIR}/embedded/${symbol}.c)
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DFILE=${CMAKE_SOURCE_DIR}/${file} -DOUTPUT=${output}
      -DSYMBOL=${symbol} -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${CMAKE_SOURCE_DIR}/${file} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    COMMENT "Embedding ${file}" VERBATIM)
  target_sources(${target} PRIVATE ${output})
  # Bytes above 127 are no char on all machines; the file is nobody's to lint.
  set_source_files_properties(${output} PROPERTIES COMPILE_OPTIONS
    "-Wno-conversion;-Wno-overflow;-Wno-sign-conversion")
endfunction()
