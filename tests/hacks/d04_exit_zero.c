// task: relu
// expect: runtime_error
// id: D4
// what: leaves the process with success before any work
exit(0);
