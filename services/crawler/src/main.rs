//! The crawler as a process of its own.

fn main() -> std::process::ExitCode {
    mesh::main(crawler::serve)
}
