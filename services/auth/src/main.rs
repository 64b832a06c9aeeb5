//! The auth service as a process.

fn main() -> std::process::ExitCode {
    mesh::main(auth::serve)
}
