//! The gateway as a process of its own.

fn main() -> std::process::ExitCode {
    mesh::main(gateway::serve)
}
