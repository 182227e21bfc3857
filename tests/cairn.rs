//! The `cairn` program, so that tests can start it and kill it.

fn main() -> ! {
    cairndb_cli::main()
}
