//! The `crawlmesh` command.

fn main() -> std::process::ExitCode {
    standalone::main()
}
