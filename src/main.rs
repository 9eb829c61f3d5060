//! The binary: a runtime, and everything else in the library.

use std::process::ExitCode;

use tidegate::limits;

fn main() -> ExitCode {
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
            eprintln!("error: cannot start threads: {error}");
            ExitCode::FAILURE
        }
    }
}
