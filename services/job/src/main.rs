//! The job service as a process of its own.
fn main() -> std::process::ExitCode {
    mesh::main(job::serve)
}
