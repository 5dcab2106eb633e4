# `cmake --install`: the program with its worker and data, and libvegttt, one shared library that exports the functions
# of include/vegttt and nothing else, with a pkg-config file. tests/unit/install.sh builds tests/install/evaluate.c
# against an installed copy.
include(GNUInstallDirs)

file(GLOB api_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/vegttt/*.h)
set(exports "")
foreach(header ${api_headers})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${header})
  file(READ ${header} text)
  string(REGEX MATCHALL "vt_[a-z0-9_]+\\(" names "${text}")
  foreach(name ${names})
    string(REPLACE "(" ";" name "${name}")
    list(APPEND exports ${name})
  endforeach()
endforeach()
list(REMOVE_DUPLICATES exports)
list(JOIN exports ";\n    " exports)
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/vegttt.map CONTENT "{\n  global:\n    @exports@;\n  local: *;\n};\n" @ONLY)

file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/vegttt_shared.c
  CONTENT "/* CMake wants a source; the library is made of archives. */\ntypedef int vegttt_shared;\n")
add_library(vegttt_shared SHARED ${PROJECT_BINARY_DIR}/vegttt_shared.c)
target_link_libraries(vegttt_shared PRIVATE vegttt_policy vegttt_eval)
set_target_properties(vegttt_shared PROPERTIES
  LINK_LIBRARY_OVERRIDE "WHOLE_ARCHIVE,vegttt_base,vegttt_eval,vegttt_policy") # the archives that hold the API
target_link_options(vegttt_shared PRIVATE -Wl,--version-script=${PROJECT_BINARY_DIR}/vegttt.map -Wl,-z,relro,-z,now)
set_target_properties(vegttt_shared PROPERTIES LINKER_LANGUAGE C OUTPUT_NAME vegttt VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS ${PROJECT_BINARY_DIR}/vegttt.map)

# The file names its prefix by the way from its own folder, so that an installed tree can be moved.
file(RELATIVE_PATH vegttt_up /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
string(REGEX REPLACE "/$" "" vegttt_up ${vegttt_up})
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/vegttt.pc CONTENT [[
prefix=${pcfiledir}/@vegttt_up@
libdir=${prefix}/@CMAKE_INSTALL_LIBDIR@
includedir=${prefix}/@CMAKE_INSTALL_INCLUDEDIR@

Name: vegttt
Description: Test-time training of models that write code, and judging the code by running it
Version: @PROJECT_VERSION@
Cflags: -I${includedir}
Libs: -L${libdir} -lvegttt
]] @ONLY)
install(TARGETS vegttt RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS vegttt-worker vegttt-cuda RUNTIME DESTINATION libexec/vegttt)
install(TARGETS vegttt_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${api_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/vegttt)
install(FILES ${PROJECT_BINARY_DIR}/vegttt.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(DIRECTORY experiments splits DESTINATION ${CMAKE_INSTALL_DATADIR}/vegttt)
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DATADIR}/vegttt)
