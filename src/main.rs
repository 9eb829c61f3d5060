//! The binary: a runtime, and everything else in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(tidegate::cli::main()),
        Err(error) => {
            eprintln!("error: cannot start threads: {error}");
            ExitCode::FAILURE
        }
    }
}
