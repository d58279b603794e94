//! The `nivel` program. Everything stands in the library, so that tests reach it.

fn main() -> std::process::ExitCode {
    nivel::cli::main()
}
