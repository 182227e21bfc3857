//! The program; everything is in the library.

fn main() -> ! {
    cairndb_cli::main()
}
