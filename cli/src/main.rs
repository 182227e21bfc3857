//! The program; everything is in the library.

fn main() -> std::process::ExitCode {
    cairndb_cli::main()
}
