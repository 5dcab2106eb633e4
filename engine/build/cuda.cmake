# engine/cuda: host code in C, device code compiled by nvcc into one image (Ampere, Hopper, and PTX for newer cards) that
# becomes an array of the library. VEGTTT_CUDA: AUTO (in where nvcc 12.4 or newer is found), ON (an error where not), OFF.
# Where it is in, VEGTTT_HAS_CUDA is defined for what links it; the CUDA run-time library is not used.
set(VEGTTT_CUDA AUTO CACHE STRING "engine/cuda: AUTO, ON or OFF")
set(VEGTTT_HAS_CUDA FALSE)
if(NOT VEGTTT_CUDA STREQUAL "OFF")
  find_program(VEGTTT_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin /usr/local/cuda/bin)
  if(VEGTTT_NVCC)
    execute_process(COMMAND ${VEGTTT_NVCC} --version OUTPUT_VARIABLE nvcc_text)
    string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" _ "${nvcc_text}")
    if(CMAKE_MATCH_1 VERSION_GREATER_EQUAL 12.4)
      set(VEGTTT_HAS_CUDA TRUE)
    endif()
  endif()
  if(VEGTTT_CUDA STREQUAL "ON" AND NOT VEGTTT_HAS_CUDA)
    message(FATAL_ERROR "VEGTTT_CUDA is ON, but there is no nvcc of CUDA 12.4 or newer; install the toolkit or set CUDA_HOME")
  endif()
endif()
if(VEGTTT_HAS_CUDA)
  message(STATUS "engine/cuda: in, compiled by ${VEGTTT_NVCC}")
else()
  message(STATUS "engine/cuda: left out (no nvcc of CUDA 12.4 or newer)")
endif()

# vegttt_device_image(TARGET SYMBOL source.cu): SYMBOL[] in TARGET is the image of source.cu.
function(vegttt_device_image target symbol source)
  set(image ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.fatbin)
  set(text ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c)
  file(GLOB parts CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/engine/cuda/*.cuh)
  add_custom_command(OUTPUT ${image}
    COMMAND ${VEGTTT_NVCC} -std=c++17 -O3 -lineinfo -I${PROJECT_SOURCE_DIR}/engine
      -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90a,code=sm_90a -gencode arch=compute_80,code=compute_80
      -fatbin ${source} -o ${image}
    DEPENDS ${source} ${parts} ${PROJECT_SOURCE_DIR}/engine/cuda/device.h VERBATIM)
  add_custom_command(OUTPUT ${text}
    COMMAND python3 ${PROJECT_SOURCE_DIR}/engine/build/embed_image.py ${symbol} ${image} ${text}
    DEPENDS ${image} ${PROJECT_SOURCE_DIR}/engine/build/embed_image.py VERBATIM)
  target_sources(${target} PRIVATE ${text})
  set_source_files_properties(${text} PROPERTIES OBJECT_DEPENDS ${image})
endfunction()
