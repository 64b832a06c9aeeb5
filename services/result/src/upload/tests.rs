//! Uploads in order and out of it, by table.

use super::*;

fn artifact(kind: Kind, size: u64) -> Artifact {
    Artifact { kind, content_type: "text/html".to_owned(), size }
}

/// Sends chunks of the given kinds and sizes; returns the sizes of the artifacts that arrived.
fn send(announced: &[(Kind, u64)], chunks: &[(Kind, usize)]) -> Result<Vec<usize>, String> {
    let mut upload = Upload::new(announced.iter().map(|&(kind, size)| artifact(kind, size)).collect());
    for &(kind, size) in chunks {
        upload.push(kind, &vec![7; size]).map_err(|error| error.to_string())?;
    }
    let done = upload.finish().map_err(|error| error.to_string())?;
    Ok(done.iter().map(|(_, bytes)| bytes.len()).collect())
}

#[test]
fn what_was_announced_arrives() {
    use Kind::{Html, Screenshot};
    type Case<'a> = (&'a [(Kind, u64)], &'a [(Kind, usize)], &'a [usize]);
    let cases: [Case<'_>; 6] = [
        (&[], &[], &[]),
        (&[(Html, 3)], &[(Html, 3)], &[3]),
        (&[(Html, 3)], &[(Html, 1), (Html, 0), (Html, 2)], &[3]),
        (&[(Html, 3), (Screenshot, 2)], &[(Html, 3), (Screenshot, 2)], &[3, 2]),
        (&[(Html, 0), (Screenshot, 2)], &[(Screenshot, 2)], &[0, 2]),
        (&[(Screenshot, 2), (Html, 0)], &[(Screenshot, 2)], &[2, 0]),
    ];
    for (announced, chunks, expected) in cases {
        assert_eq!(send(announced, chunks).as_deref(), Ok(expected), "{announced:?} {chunks:?}");
    }
}

#[test]
fn what_was_not_announced_is_refused() {
    use Kind::{Html, Screenshot};
    type Case<'a> = (&'a [(Kind, u64)], &'a [(Kind, usize)], &'a str);
    let cases: [Case<'_>; 7] = [
        (&[], &[(Html, 1)], "follows the last"),
        (&[(Html, 3)], &[(Html, 4)], "larger than announced"),
        (&[(Html, 3)], &[(Html, 2)], "smaller than announced"),
        (&[(Html, 3)], &[], "smaller than announced"),
        (&[(Html, 3)], &[(Screenshot, 3)], "another artifact"),
        (&[(Html, 3), (Screenshot, 2)], &[(Screenshot, 2), (Html, 3)], "another artifact"),
        (&[(Html, 1 << 30)], &[(Html, MAX_CHUNK + 1)], "larger than 1 MiB"),
    ];
    for (announced, chunks, expected) in cases {
        let error = send(announced, chunks).expect_err("it is refused");
        assert!(error.contains(expected), "{announced:?} {chunks:?}: {error}");
    }
}
