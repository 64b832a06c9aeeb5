//! Runs JavaScript in a page: ours in a world of our own, where the page has redefined nothing; the job's in the page's world.

use chromiumoxide::Page;
use chromiumoxide::cdp::browser_protocol::page::{CreateIsolatedWorldParams, FrameId};
use chromiumoxide::cdp::js_protocol::runtime::{EvaluateParams, ExceptionDetails};
use chromiumoxide::error::CdpError;
use serde_json::Value;

/// Characters of an error that are told.
const MAX_ERROR: usize = 160;

/// What became of a piece of JavaScript.
#[derive(Debug)]
pub(super) enum Answer {
    /// Its value; a promise's is awaited.
    Value(Value),
    /// It threw, or could not be parsed.
    Thrown(String),
    /// Its document went away.
    Gone,
    /// The page did not answer.
    Late,
}

/// Runs code in our world. It may leave variables there for as long as the document lives.
pub(super) async fn isolated(page: &Page, frame: &FrameId, code: &str) -> Answer {
    let mut world = CreateIsolatedWorldParams::new(frame.clone());
    world.world_name = Some("crawlmesh".to_owned());
    let context = match page.execute(world).await {
        Ok(world) => world.result.execution_context_id,
        Err(CdpError::Timeout) => return Answer::Late,
        Err(_) => return Answer::Gone,
    };
    let mut evaluate = EvaluateParams::new(code);
    evaluate.context_id = Some(context);
    run(page, evaluate).await
}

/// Runs code in the page's world, as if the user had caused it.
pub(super) async fn main(page: &Page, code: &str) -> Answer {
    let mut evaluate = EvaluateParams::new(code);
    evaluate.user_gesture = Some(true);
    run(page, evaluate).await
}

async fn run(page: &Page, mut evaluate: EvaluateParams) -> Answer {
    evaluate.return_by_value = Some(true);
    evaluate.await_promise = Some(true);
    match page.execute(evaluate).await {
        Ok(answer) => match answer.result.exception_details {
            Some(details) => Answer::Thrown(words(&details)),
            None => Answer::Value(answer.result.result.value.unwrap_or_default()),
        },
        Err(CdpError::Timeout) => Answer::Late,
        // A value that cannot be sent, such as a window, is no reason to fail.
        Err(CdpError::Chrome(error)) if error.message.contains("Object reference chain is too long") => {
            Answer::Value(Value::Null)
        }
        Err(_) => Answer::Gone,
    }
}

fn words(details: &ExceptionDetails) -> String {
    let description = details.exception.as_ref().and_then(|thrown| {
        let plain = || thrown.value.as_ref().map(Value::to_string);
        thrown.description.clone().or_else(plain)
    });
    let text = description.unwrap_or_else(|| details.text.clone());
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(MAX_ERROR).collect()
}
