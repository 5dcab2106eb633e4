# The executables: vegttt itself and the small worker that runs candidates in the jail.
file(GLOB cli_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/engine/cli/*.c)
# The command line with everything it carries inside; the tests make one with a further backend in its table.
function(vegttt_command_line target)
  target_sources(${target} PRIVATE ${cli_sources})
  target_link_libraries(${target} PRIVATE vegttt_bind)
  vegttt_embed(${target} vt_embedded_lua ${PROJECT_SOURCE_DIR}/lua)
  vegttt_embed(${target} vt_embedded_check ${PROJECT_SOURCE_DIR}/engine/cli py)
  # C rocks loaded by scripts must find the interpreter's symbols in this process.
  set_target_properties(${target} PROPERTIES ENABLE_EXPORTS ON)
  target_link_options(${target} PRIVATE -Wl,-z,relro,-z,now)
endfunction()
add_executable(vegttt)
vegttt_command_line(vegttt)
file(GLOB worker_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/engine/eval/c/worker/*.c)
if(worker_sources)
  add_executable(vegttt-worker ${worker_sources})
  # The project's flags without a sanitizer: the jail's limits and filter leave no room for its run time.
  get_target_property(worker_options vegttt_flags INTERFACE_COMPILE_OPTIONS)
  list(FILTER worker_options EXCLUDE REGEX "sanitize")
  target_compile_options(vegttt-worker PRIVATE ${worker_options})
  target_compile_definitions(vegttt-worker PRIVATE $<TARGET_PROPERTY:vegttt_flags,INTERFACE_COMPILE_DEFINITIONS>)
  target_include_directories(vegttt-worker PRIVATE $<TARGET_PROPERTY:vegttt_flags,INTERFACE_INCLUDE_DIRECTORIES>)
  target_link_libraries(vegttt-worker PRIVATE m)
  target_link_options(vegttt-worker PRIVATE -Wl,-z,relro,-z,now)
  # Whatever links the evaluator needs the worker beside it at run time.
  add_dependencies(vegttt_eval vegttt-worker)
endif()
# The cuda tier's worker (NVRTC in a jail, and the runner on a GPU): both open NVIDIA's libraries at run time.
vegttt_embed(vegttt_eval vt_cuda_device_text ${PROJECT_SOURCE_DIR}/engine/eval/cuda/device cuh)
file(GLOB cuda_worker_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/engine/eval/cuda/worker/*.c)
add_executable(vegttt-cuda ${cuda_worker_sources})
target_link_libraries(vegttt-cuda PRIVATE vegttt_eval vegttt_gpu)
target_link_options(vegttt-cuda PRIVATE -Wl,--as-needed)
add_dependencies(vegttt vegttt-cuda)
# The torch tier's Python.
vegttt_embed(vegttt_eval vt_torch_text ${PROJECT_SOURCE_DIR}/engine/eval/torch py)
