//! `crawlmesh extract [FILE…]`: the extraction of a crawl, offline, on files or on what a pipe brings.
//!
//! Promises: neither network nor mesh; one bad file among many is named and does not stop the others; no input is
//! read beyond [`MAX_INPUT_BYTES`].

mod wishes;

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};
use api::job::v1::extraction;
use clap::{Args, ValueEnum};
use extract::{Document, Input, Options};
use url::Url;

use self::wishes::Wishes;
use super::output;

/// Largest file that is read: 64 MiB.
const MAX_INPUT_BYTES: u64 = 64 * 1024 * 1024;
/// The name that stands for standard input.
const STDIN: &str = "-";

/// What to extract, and how to write it.
#[derive(Debug, Args)]
pub(super) struct ExtractArgs {
    /// Files to read. `-` is standard input, and so is no file at all.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Address that the page came from; relative links start here. Without it they are left out.
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
    /// Media type, as in `Content-Type`. Default: by the name of the file, else by its first bytes.
    #[arg(long = "type", value_name = "TYPE")]
    media_type: Option<String>,
    /// What is written.
    #[arg(long, value_enum, default_value_t = Format::Markdown)]
    format: Format,
    /// A folder for one file for each input, named like the input. Needed for more than one.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    wishes: Wishes,
}

/// What is written of a document.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// The whole page as Markdown.
    Markdown,
    /// The main content as Markdown.
    Fit,
    /// The main content as plain text.
    Text,
    /// The whole page as Markdown with numbered citations, and the list of them.
    Citations,
    /// The whole page as clean HTML.
    Html,
    /// The links, a line for each: address, tab, text.
    Links,
    /// The document: everything that was found.
    Json,
}

/// Runs the command on a thread that may block.
pub(super) async fn run(args: ExtractArgs) -> anyhow::Result<ExitCode> {
    tokio::task::spawn_blocking(move || all(&args)).await.context("extract")?
}

fn all(args: &ExtractArgs) -> anyhow::Result<ExitCode> {
    let stdin = [PathBuf::from(STDIN)];
    let files = if args.files.is_empty() { &stdin[..] } else { &args.files };
    let options = args.wishes.options(args.format.parts())?;
    let Some(folder) = &args.out else {
        ensure!(files.len() == 1, "several files need a folder to write to: name one with --out");
        output::line(&one(&files[0], args, &options)?)?;
        return Ok(ExitCode::SUCCESS);
    };
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let (mut taken, mut code) = (HashSet::new(), ExitCode::SUCCESS);
    for file in files {
        let path = folder.join(free_name(file, args.format.extension(), &mut taken));
        if let Err(error) = one(file, args, &options).and_then(|text| write(&path, &text)) {
            code = output::failure(&error);
        }
    }
    Ok(code)
}

fn one(file: &Path, args: &ExtractArgs, options: &Options) -> anyhow::Result<String> {
    let extracted = || {
        let bytes = read(file)?;
        let url = match &args.url {
            Some(url) => url.clone(),
            None => own_address(file)?,
        };
        let content_type = args.media_type.as_deref().or_else(|| media_type(file));
        let input = Input { bytes: &bytes, content_type, url: &url };
        args.format.of(extract::extract(input, options)?)
    };
    extracted().with_context(|| format!("extract {}", file.display()))
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut read = |source: &mut dyn Read| source.take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes);
    if file == Path::new(STDIN) {
        read(&mut io::stdin().lock())?;
    } else {
        read(&mut File::open(file)?)?;
    }
    if bytes.len() as u64 > MAX_INPUT_BYTES {
        bail!("it is larger than {} MiB", MAX_INPUT_BYTES >> 20);
    }
    Ok(bytes)
}

/// Address of a page that was given none. No relative link of it leads anywhere.
fn own_address(file: &Path) -> anyhow::Result<Url> {
    if file == Path::new(STDIN) {
        return Ok(Url::parse("about:blank")?);
    }
    Url::from_file_path(std::path::absolute(file)?).map_err(|()| anyhow::anyhow!("its path has no address"))
}

/// What the name of a file says about its content; nothing if it is a name of anything.
fn media_type(file: &Path) -> Option<&'static str> {
    let extension = file.extension()?.to_str()?.to_ascii_lowercase();
    Some(match extension.as_str() {
        "html" | "htm" | "xhtml" => "text/html",
        "txt" | "text" | "md" | "markdown" | "rst" | "csv" => "text/plain",
        "json" => "application/json",
        "xml" | "rss" | "atom" => "application/xml",
        _ => return None,
    })
}

/// `page.html` → `page.txt`, then `page-2.txt` for another file of that name.
fn free_name(file: &Path, extension: &str, taken: &mut HashSet<String>) -> String {
    let file = if file == Path::new(STDIN) { Path::new("stdin") } else { file };
    let stem = file.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    let mut name = format!("{stem}.{extension}");
    let mut number = 2;
    while !taken.insert(name.clone()) {
        name = format!("{stem}-{number}.{extension}");
        number += 1;
    }
    name
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, format!("{text}\n")).with_context(|| format!("write {}", path.display()))
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Self::Markdown | Self::Fit | Self::Citations => "md",
            Self::Text | Self::Links => "txt",
            Self::Html => "html",
            Self::Json => "json",
        }
    }

    /// The parts of a document that are needed for it; none: the usual ones.
    fn parts(self) -> &'static [extraction::Format] {
        match self {
            Self::Markdown | Self::Fit | Self::Text | Self::Links | Self::Json => &[],
            Self::Citations => &[extraction::Format::Citations],
            Self::Html => &[extraction::Format::CleanedHtml],
        }
    }

    fn of(self, document: Document) -> anyhow::Result<String> {
        Ok(match self {
            Self::Markdown => document.markdown,
            Self::Fit => document.fit_markdown,
            Self::Text => document.text,
            Self::Citations => {
                let citations = document.citations.unwrap_or_default();
                format!("{}\n\n{}", citations.markdown, citations.references).trim_end().to_owned()
            }
            Self::Html => document.cleaned_html,
            Self::Links => {
                let line = |link: &extract::Link| format!("{}\t{}", link.url, link.text);
                document.links.iter().map(line).collect::<Vec<_>>().join("\n")
            }
            Self::Json => serde_json::to_string_pretty(&document)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: ExtractArgs,
    }

    fn run(arguments: &[&str]) -> anyhow::Result<ExitCode> {
        let parsed = Command::try_parse_from(std::iter::once(&"extract").chain(arguments))?;
        all(&parsed.args)
    }

    #[test]
    fn output_is_named_like_its_input_and_overwrites_no_other() {
        let mut taken = HashSet::new();
        for (file, name) in [
            ("a/page.html", "page.txt"),
            ("b/page.htm", "page-2.txt"),
            ("page.v2.html", "page.v2.txt"),
            ("../..", ".txt"),
            ("noextension", "noextension.txt"),
            ("-", "stdin.txt"),
        ] {
            assert_eq!(free_name(Path::new(file), "txt", &mut taken), name, "{file}");
        }
    }

    #[test]
    fn one_bad_file_does_not_stop_the_others() {
        let folder = tempfile::tempdir().expect("because the temporary folder can be written");
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        fs::write(path("a.html"), "<title>T</title><h1>A</h1><p>See <a href=/b>b</a>.").unwrap();
        fs::write(path("b.html"), b"\x89PNG\r\n\x1a\n").unwrap();
        fs::write(path("c"), "{\"k\": 1}").unwrap();
        let (a, b, c, out) = (path("a.html"), path("b.html"), path("c"), path("new/out"));
        let read = |name: &str| fs::read_to_string(Path::new(&out).join(name));

        let code =
            run(&[&a, &b, &path("missing"), folder.path().to_str().unwrap(), &c, "--out", &out]).unwrap();
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE));
        assert_eq!(
            read("a.md").unwrap(),
            "# A\n\nSee b.\n",
            "without an address, relative links lead nowhere"
        );
        assert_eq!(read("c.md").unwrap(), "```json\n{\"k\": 1}\n```\n");
        assert!(read("b.md").is_err() && read("missing.md").is_err());

        let address = "https://example.com/x/";
        for (format, name, expected) in [
            ("markdown", "a.md", "# A\n\nSee [b](https://example.com/b).\n"),
            ("links", "a.txt", "https://example.com/b\tb\n"),
            ("text", "a.txt", "A\n\nSee b.\n"),
            ("citations", "a.md", "# A\n\nSee b⟨1⟩.\n\n## References\n\n⟨1⟩ https://example.com/b: b\n"),
            ("html", "a.html", "<h1>A</h1><p>See <a href=\"https://example.com/b\">b</a>.</p>\n"),
        ] {
            let code = run(&[&a, "--url", address, "--format", format, "--out", &out]).unwrap();
            assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
            assert_eq!(read(name).unwrap(), expected, "{format}");
        }
        run(&[&a, "--format", "json", "--out", &out]).unwrap();
        let document: serde_json::Value = serde_json::from_str(&read("a.json").unwrap()).unwrap();
        assert_eq!((&document["title"], &document["word_count"]), (&"T".into(), &3.into()));
    }

    #[test]
    fn wishes_are_those_of_a_job() {
        let folder = tempfile::tempdir().expect("because the temporary folder can be written");
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let page = "<title>T</title><nav>menu</nav><main><h1>A</h1><p>Cats sleep, mail a@b.example.</p><p>Dogs bark.</p></main>";
        let schema =
            r#"{"baseSelector": "main", "fields": [{"name": "head", "selector": "h1", "type": "text"}]}"#;
        fs::write(path("p.html"), page).unwrap();
        fs::write(path("s.json"), schema).unwrap();
        let (page, schema, out) = (path("p.html"), path("s.json"), path("out"));
        let read = |name: &str| fs::read_to_string(Path::new(&out).join(name)).unwrap();
        let args = [
            "--select",
            "p",
            "--exclude",
            "p:last-child",
            "--pattern",
            "email",
            "--pattern",
            "who=(\\w+) sleep",
        ];
        run(&[&[page.as_str(), "--schema", &schema, "--format", "json", "--out", &out][..], &args].concat())
            .unwrap();
        let document: serde_json::Value = serde_json::from_str(&read("p.json")).unwrap();
        assert_eq!(document["markdown"], "Cats sleep, mail a@b.example.");
        assert_eq!(document["extracted"]["items"], serde_json::json!([{"head": "A"}]));
        assert_eq!(
            (&document["matches"][0]["value"], &document["matches"][1]["value"]),
            (&"a@b.example".into(), &"Cats".into())
        );
        run(&[&page, "--query", "dogs", "--format", "fit", "--out", &out]).unwrap();
        assert_eq!(read("p.md"), "# A\n\nDogs bark.\n");
        for (arguments, said) in [
            (&["--select", "p["][..], "css_selector"),
            (&["--pattern", "nothing"], "built_in"),
            (&["--schema", "/no/such/file"], "/no/such/file"),
            (&["--xpath"], "--schema"),
        ] {
            let error = format!("{:#}", run(&[&[page.as_str()], arguments].concat()).unwrap_err());
            assert!(error.contains(said), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn bad_usage_and_bad_input_say_why() {
        let folder = tempfile::tempdir().expect("because the temporary folder can be written");
        let large = folder.path().join("large.html");
        File::create(&large).and_then(|file| file.set_len(MAX_INPUT_BYTES + 1)).unwrap();
        let large = large.to_str().unwrap();
        for (arguments, said) in [
            (&["a", "b"][..], "--out"),
            (&[large], "larger than 64 MiB"),
            (&["/no/such/file"], "/no/such/file"),
            (&["a", "--url", "no address"], "--url"),
            (&["a", "--format", "docx"], "--format"),
            (&["--type", "image/png", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")], "image/png"),
        ] {
            let error = format!("{:#}", run(arguments).unwrap_err());
            assert!(error.contains(said), "{arguments:?}: {error}");
        }
    }
}
