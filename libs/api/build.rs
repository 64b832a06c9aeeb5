//! Compiles /proto without a system protoc, and keeps the descriptor set with its `google.api.http` options.

use std::{env, error::Error, fs, path::PathBuf};

#[expect(
    clippy::disallowed_methods,
    reason = "a build script is configured by cargo through its environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true);
    for noun in ["auth", "crawler", "job", "result", "webhook"] {
        let folder = root.join("crawlmesh").join(noun).join("v1");
        for entry in fs::read_dir(folder)? {
            compiler.open_file(entry?.path())?;
        }
    }
    // protox's own encoding: prost would drop the options that it does not know.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptor.bin"), compiler.encode_file_descriptor_set())?;
    let mut generator = tonic_prost_build::configure();
    // Settings that are hashed: their bytes must not depend on the order of a hash map.
    for ordered in [".crawlmesh.job.v1.BrowserOptions", ".crawlmesh.job.v1.LocalStorage"] {
        generator = generator.btree_map(ordered);
    }
    // Most jobs have none of these; in place they would make every message with a job in it several times as large.
    generator =
        generator.boxed(".crawlmesh.job.v1.CrawlConfig.browser").boxed(".crawlmesh.job.v1.CrawlConfig.fetch");
    generator.compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
