//! Texts in rejections are for people; the model does not repeat them.

use redoubt_log::record::{Done, Outcome, Rejection, Restored};

/// A rejection without its text.
fn without_text(rejection: Rejection) -> Rejection {
    match rejection {
        Rejection::InvalidName(_) => Rejection::InvalidName(String::new()),
        Rejection::Limit(_) => Rejection::Limit(String::new()),
        Rejection::NotFound(_) => Rejection::NotFound(String::new()),
        Rejection::Exists(_) => Rejection::Exists(String::new()),
        Rejection::Floor(_) => Rejection::Floor(String::new()),
        Rejection::Restore(_) => Rejection::Restore(String::new()),
        Rejection::NotCaptured(_) => Rejection::NotCaptured(String::new()),
        Rejection::Role(_) => Rejection::Role(String::new()),
        Rejection::Matter(_) => Rejection::Matter(String::new()),
        Rejection::Erasure(_) => Rejection::Erasure(String::new()),
        Rejection::Hold(_) => Rejection::Hold(String::new()),
        other => other,
    }
}

fn all<T>(answers: Vec<Result<T, Rejection>>) -> Vec<Result<T, Rejection>> {
    answers.into_iter().map(|answer| answer.map_err(without_text)).collect()
}

fn restored(answer: Restored) -> Restored {
    match answer {
        Restored::Skipped(why) => Restored::Skipped(without_text(why)),
        Restored::Failed(why) => Restored::Failed(without_text(why)),
        other => other,
    }
}

/// What was done or rejected, without texts.
pub fn result_without_texts(result: Result<Done, Rejection>) -> Result<Done, Rejection> {
    match result {
        Ok(Done::Delivered(answers)) => Ok(Done::Delivered(all(answers))),
        Ok(Done::Arrived(answers)) => Ok(Done::Arrived(all(answers))),
        Ok(Done::Changed(answers)) => Ok(Done::Changed(all(answers))),
        Ok(Done::Marked(answers)) => Ok(Done::Marked(all(answers))),
        Ok(Done::Restored(answers)) => {
            Ok(Done::Restored(answers.into_iter().map(restored).collect()))
        }
        Ok(done) => Ok(done),
        Err(rejection) => Err(without_text(rejection)),
    }
}

/// An outcome without texts.
pub fn without_texts(outcome: Outcome) -> Outcome {
    Outcome { result: result_without_texts(outcome.result), ..outcome }
}
