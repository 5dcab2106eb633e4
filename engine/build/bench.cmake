# tests/bench/*.c are measuring programs, built on request (`ninja bench`) into build/bench and run by hand. Like a unit
# test, FOLDER_SUBJECT.c is linked with vegttt_FOLDER. The scripts beside them measure vegttt against its rivals.
file(GLOB bench_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/bench/*.c)
foreach(source ${bench_sources})
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "_.*" "" folder ${name})
  add_executable(${name} EXCLUDE_FROM_ALL ${source})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/unit)
  target_link_libraries(${name} PRIVATE vegttt_${folder})
  target_compile_definitions(${name} PRIVATE VT_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
  list(APPEND bench_targets ${name})
endforeach()
add_custom_target(bench DEPENDS ${bench_targets})
