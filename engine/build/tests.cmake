# A backend that behaves as a remote service: the tests of policies run over it and over the native one.
file(GLOB double_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/double/*.c)
add_library(vegttt_double OBJECT EXCLUDE_FROM_ALL ${double_sources})
target_link_libraries(vegttt_double PUBLIC vegttt_policy)
target_include_directories(vegttt_double PUBLIC ${PROJECT_SOURCE_DIR}/tests/double)

# The command line with that backend in its table.
add_executable(vegttt-double EXCLUDE_FROM_ALL)
target_link_libraries(vegttt-double PRIVATE vegttt_double)
vegttt_command_line(vegttt-double)
set_target_properties(vegttt-double PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
add_custom_command(TARGET vegttt-double POST_BUILD COMMAND ${CMAKE_COMMAND} -E create_symlink
  $<TARGET_FILE:vegttt-worker> ${PROJECT_BINARY_DIR}/tests/vegttt-worker)
list(APPEND unit_targets vegttt-double)

# tests/unit/FOLDER_SUBJECT.c is one program linked with vegttt_FOLDER, run by ctest and by `vegttt selftest`.
file(GLOB unit_tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/unit/*.c)
list(FILTER unit_tests EXCLUDE REGEX "/cuda_emulated\\.c$") # linked with doubles (emulated.cmake)
foreach(source ${unit_tests})
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "_.*" "" folder ${name})
  add_executable(test_${name} EXCLUDE_FROM_ALL ${source})
  target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/unit)
  if(folder STREQUAL policy)
    target_link_libraries(test_${name} PRIVATE vegttt_double)
  endif()
  target_link_libraries(test_${name} PRIVATE vegttt_${folder})
  target_compile_definitions(test_${name} PRIVATE VT_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  set_target_properties(test_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME unit_${name} COMMAND test_${name})
  list(APPEND unit_targets test_${name})
endforeach()

# Doubles of NVIDIA's driver and run-time compiler, for tests of the cuda tier where there is no GPU: found through
# LD_LIBRARY_PATH by vegttt-cuda, so that everything of the tier but the device itself is the real thing.
foreach(pair "driver;cuda;1" "nvrtc;nvrtc;13")
  list(GET pair 0 source)
  list(GET pair 1 name)
  list(GET pair 2 version)
  add_library(vegttt_double_${name} SHARED EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/tests/gpu_double/${source}.c)
  target_compile_definitions(vegttt_double_${name} PRIVATE _GNU_SOURCE)
  target_include_directories(vegttt_double_${name} PRIVATE ${PROJECT_SOURCE_DIR}/engine)
  target_link_libraries(vegttt_double_${name} PRIVATE ${CMAKE_DL_LIBS})
  set_target_properties(vegttt_double_${name} PROPERTIES OUTPUT_NAME ${name} SOVERSION ${version}
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/gpu_double)
  list(APPEND unit_targets vegttt_double_${name})
endforeach()
foreach(name eval_cuda_tier eval_cuda_compile)
  add_dependencies(test_${name} vegttt-cuda vegttt_double_cuda vegttt_double_nvrtc)
endforeach()
add_custom_target(tests DEPENDS ${unit_targets})
