//! `redoubt <verb>`.

use std::process::ExitCode;

fn main() -> ExitCode {
    redoubt_tools::cmd::main()
}
