# With -DVEGTTT_FUZZ=ON (preset fuzz: clang with AddressSanitizer and UndefinedBehaviorSanitizer), every
# tests/fuzz/fuzz_SUBJECT.c becomes a libFuzzer program. Seeds: tests/fuzz/make_seeds.py FOLDER; then
#   fuzz_SUBJECT FOLDER/SUBJECT
option(VEGTTT_FUZZ "Build the libFuzzer programs" OFF)
if(VEGTTT_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "VEGTTT_FUZZ needs clang: use the preset fuzz")
  endif()
  file(GLOB fuzz_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/fuzz/fuzz_*.c)
  foreach(source ${fuzz_sources})
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} EXCLUDE_FROM_ALL ${source})
    target_link_libraries(${name} PRIVATE vegttt_model)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
    list(APPEND fuzz_targets ${name})
  endforeach()
  add_custom_target(fuzzers DEPENDS ${fuzz_targets})
endif()
