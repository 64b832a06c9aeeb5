//! The webhook service as a process of its own.

fn main() -> std::process::ExitCode {
    mesh::main(webhook::serve)
}
