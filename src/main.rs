//! The binary: a runtime, and everything else in the library.

use std::io::Write as _;
use std::process::ExitCode;

use tidegate::limits;

fn main() -> ExitCode {
    // With fewer the runtime does not fail, it panics.
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if files.is_some_and(|files| files < limits::OPEN_FILES_LEAST) {
        let (files, least) = (files.unwrap_or_default(), limits::OPEN_FILES_LEAST);
        let _ = writeln!(
            std::io::stderr(),
            "error: only {files} files may be open, and {least} are needed at least: raise it with `ulimit -n`, or LimitNOFILE= of the service"
        );
        return ExitCode::FAILURE;
    }
    tidegate::cli::allocator::settle(std::env::args_os());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(limits::BLOCKING_THREADS)
        .thread_keep_alive(limits::BLOCKING_THREAD_IDLE)
        .build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(tidegate::cli::main());
            // Whatever still blocks (a disk that hangs) does not keep the
            // process: what was acknowledged is on the disk already.
            runtime.shutdown_timeout(limits::SHUTDOWN);
            exit
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: cannot start threads: {error}");
            ExitCode::FAILURE
        }
    }
}
