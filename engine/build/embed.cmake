# vegttt_embed(TARGET VARIABLE folder): every *.lua below folder becomes a C array in the table VARIABLE, so that the
# binary runs with the folder absent. VEGTTT_LUA_DIR overrides the embedded text at run time.
find_program(PYTHON3 NAMES python3 REQUIRED)
function(vegttt_embed target symbol folder)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS ${folder}/*.lua)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c)
  add_custom_command(OUTPUT ${out}
    COMMAND python3 ${PROJECT_SOURCE_DIR}/engine/build/embed.py ${symbol} ${folder} ${out}
    DEPENDS ${files} ${PROJECT_SOURCE_DIR}/engine/build/embed.py VERBATIM)
  target_sources(${target} PRIVATE ${out})
endfunction()
