//! The result service as a process.

fn main() -> std::process::ExitCode {
    mesh::main(result::serve)
}
