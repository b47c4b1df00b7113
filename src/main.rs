//! Parses the arguments and runs; nothing else.

fn main() -> std::process::ExitCode {
    certkeeper::cli::main()
}
