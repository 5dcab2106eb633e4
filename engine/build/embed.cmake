# vegttt_embed(TARGET VARIABLE folder [suffix]): every *.lua (or *.suffix) below folder becomes a C array in the table
# VARIABLE, so that the binary runs with the folder absent. VEGTTT_LUA_DIR overrides the embedded Lua at run time.
find_program(PYTHON3 NAMES python3 REQUIRED)
function(vegttt_embed target symbol folder)
  set(suffix lua)
  if(ARGC GREATER 3)
    set(suffix ${ARGV3})
  endif()
  file(GLOB_RECURSE files CONFIGURE_DEPENDS ${folder}/*.${suffix})
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c)
  add_custom_command(OUTPUT ${out}
    COMMAND python3 ${PROJECT_SOURCE_DIR}/engine/build/embed.py ${symbol} ${folder} ${out} ${suffix}
    DEPENDS ${files} ${PROJECT_SOURCE_DIR}/engine/build/embed.py VERBATIM)
  target_sources(${target} PRIVATE ${out})
endfunction()

# What the build is made from (engine/bind/build_id.h): looked at by every build, compiled again when it changed.
set(build_id ${CMAKE_CURRENT_BINARY_DIR}/vt_build_id.c)
add_custom_target(vegttt_build_id BYPRODUCTS ${build_id}
  COMMAND python3 ${PROJECT_SOURCE_DIR}/engine/build/build_id.py ${PROJECT_SOURCE_DIR} ${build_id} VERBATIM)
set_source_files_properties(${build_id} PROPERTIES GENERATED TRUE)
target_sources(vegttt_bind PRIVATE ${build_id})
add_dependencies(vegttt_bind vegttt_build_id)
