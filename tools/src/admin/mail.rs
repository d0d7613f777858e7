//! Messages that come in through the verbs `deliver` and `import`.

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::routing::post;
use axum::{Json, Router};
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use redoubt_log::id::{OperationId, Timestamp, Uid};
use redoubt_log::record::{Arrival, Flags, Rejection};
use redoubt_store::mailstore::{DeliveryRecipient, Envelope, MailboxRef, NewMessage, Spool};
use redoubt_store::view::Resolved;
use serde::Deserialize;

use super::mailboxes::on_behalf;
use super::wire::{Delivered, ImportHead, Imported};
use super::{ApiError, App, Caller};

/// Messages of one import call.
pub(super) const MAX_BATCH: usize = 500;
/// Octets of an import head.
const MAX_HEAD: usize = 64 * 1024;

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/deliver", post(deliver))
        .route("/v1/accounts/{account}/import", post(import))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(app)
}

/// The envelope; `to` has one address a line.
#[derive(Debug, Deserialize)]
struct DeliverQuery {
    #[serde(default)]
    from: String,
    to: String,
}

async fn deliver(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Query(query): Query<DeliverQuery>,
    body: Body,
) -> Result<Json<Vec<Delivered>>, ApiError> {
    let recipients: Vec<String> = query.to.lines().map(String::from).collect();
    let mut body = Octets::new(body);
    let mut content = app.mailstore.spool();
    while let Some(piece) = body.next().await? {
        if let Err(error) = content.write(&piece).await {
            return Err(body.refused(error.into()).await);
        }
    }
    let resolved = resolve(&app, recipients.clone()).await?;
    let wanted = resolved.iter().filter_map(|found| found.as_ref().ok().cloned()).collect();
    let trace = format!("Return-Path: <{}>\r\n", query.from);
    let envelope = Envelope { sender: query.from, ..Envelope::default() };
    let placed = app.mailstore.deliver(&caller.0, envelope, trace.into(), content, wanted).await?;
    let mut placed = placed.into_iter();
    let answers = recipients.into_iter().zip(resolved).map(|(recipient, found)| match found {
        Ok(_) => answer(recipient, placed.next()),
        Err(error) => Delivered { error: Some(error), ..refused(recipient) },
    });
    Ok(Json(answers.collect()))
}

async fn resolve(
    app: &App,
    recipients: Vec<String>,
) -> Result<Vec<Result<DeliveryRecipient, String>>, ApiError> {
    let domain = app.default_domain.clone();
    app.read(move |view| {
        let found = recipients.iter().map(|address| {
            Ok(match view.resolve(address, &domain)? {
                Resolved::Account { account, detail } => {
                    Ok(DeliveryRecipient { address: address.clone(), account: account.id, detail })
                }
                Resolved::NoSuchUser => Err("there is no such user".to_string()),
                Resolved::NoSuchDomain => Err("the domain is not served here".to_string()),
                Resolved::Invalid => Err("this is not an address".to_string()),
            })
        });
        found.collect()
    })
    .await
}

fn refused(recipient: String) -> Delivered {
    Delivered { recipient, delivered: false, email_id: None, uid: None, error: None }
}

fn answer(recipient: String, placed: Option<Result<Arrival, Rejection>>) -> Delivered {
    match placed {
        Some(Ok(arrival)) => Delivered {
            delivered: true,
            email_id: Some(arrival.email.to_string()),
            uid: Some(arrival.uid.get()),
            ..refused(recipient)
        },
        Some(Err(rejection)) => {
            Delivered { error: Some(rejection.to_string()), ..refused(recipient) }
        }
        None => Delivered { error: Some("the store gave no answer".into()), ..refused(recipient) },
    }
}

/// Into which mailbox to import; it is made if it is not there.
#[derive(Debug, Deserialize)]
struct ImportQuery {
    mailbox: String,
}

async fn import(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(account): Path<String>,
    Query(ImportQuery { mailbox }): Query<ImportQuery>,
    body: Body,
) -> Result<Json<Vec<Imported>>, ApiError> {
    let account = app.account(&account).await?.id;
    let actor = on_behalf(&caller, account);
    let mut body = Octets::new(body);
    let messages = match read_batch(&app, &mut body).await {
        Ok(messages) => messages,
        Err(error) => return Err(body.refused(error).await),
    };
    let found = {
        let name = mailbox.clone();
        app.read(move |view| Ok(view.mailbox_named(account, &name)?)).await?
    };
    let target = match found {
        Some(target) => target,
        None => app.mailstore.create_mailbox(&actor, account, &mailbox, None).await?,
    };
    let to = MailboxRef { account, mailbox: target.id };
    let operations: Vec<_> = messages.iter().map(|message| message.operation).collect();
    let arrived = app.read(move |view| {
        let arrived = |operation: Option<OperationId>| match operation {
            Some(operation) => Ok(view.imported(account, target.id, operation)?.is_some()),
            None => Ok(false),
        };
        operations.into_iter().map(arrived).collect::<Result<Vec<bool>, ApiError>>()
    });
    let messages = with_free_uids(messages, &arrived.await?, target.uid_next);
    let answers = app.mailstore.append(&actor, to, messages).await?;
    Ok(Json(answers.into_iter().map(imported).collect()))
}

fn imported(answer: Result<Arrival, Rejection>) -> Imported {
    match answer {
        Ok(arrival) => Imported {
            email_id: Some(arrival.email.to_string()),
            uid: Some(arrival.uid.get()),
            error: None,
        },
        Err(rejection) => {
            Imported { email_id: None, uid: None, error: Some(rejection.to_string()) }
        }
    }
}

/// Keeps the UIDs that still can be given, in rising order; the others get new
/// ones. What has arrived with an earlier try has its UID and takes no other.
fn with_free_uids(messages: Vec<NewMessage>, arrived: &[bool], uid_next: u64) -> Vec<NewMessage> {
    let mut next = uid_next;
    let give = |(mut message, arrived): (NewMessage, &bool)| {
        message.uid = message.uid.filter(|uid| u64::from(uid.get()) >= next);
        if !arrived {
            next = message.uid.map_or(next, |uid| u64::from(uid.get())) + 1;
        }
        message
    };
    messages.into_iter().zip(arrived).map(give).collect()
}

async fn read_batch(app: &App, body: &mut Octets) -> Result<Vec<NewMessage>, ApiError> {
    let mut messages = Vec::new();
    while let Some(head) = read_head(body).await? {
        if messages.len() == MAX_BATCH {
            return Err(ApiError::bad(format!("more than {MAX_BATCH} messages in one call")));
        }
        let mut content = app.mailstore.spool();
        body.copy(head.size, &mut content).await?;
        messages.push(NewMessage {
            content,
            received: head.received.or(Some(Timestamp::now())),
            flags: Flags(head.flags),
            keywords: head.keywords,
            uid: head.uid.and_then(Uid::new),
            operation: Some(head.operation),
        });
    }
    Ok(messages)
}

/// A length of four octets (little-endian), then the head as JSON; `None` at the end.
async fn read_head(body: &mut Octets) -> Result<Option<ImportHead>, ApiError> {
    let Some(length) = body.exactly(4).await? else { return Ok(None) };
    let length = length.clone().get_u32_le() as usize;
    if length > MAX_HEAD {
        return Err(ApiError::bad(format!("a head of {length} octets, at most {MAX_HEAD}")));
    }
    let head = body.exactly(length).await?.unwrap_or_default();
    serde_json::from_slice(&head).map(Some).map_err(|error| ApiError::bad(error.to_string()))
}

/// A request's body as octets.
struct Octets {
    body: Body,
    rest: BytesMut,
}

impl Octets {
    fn new(body: Body) -> Self {
        Self { body, rest: BytesMut::new() }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        if !self.rest.is_empty() {
            return Ok(Some(self.rest.split().freeze()));
        }
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| ApiError::bad(error.to_string()))?;
            if let Ok(data) = frame.into_data()
                && !data.is_empty()
            {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// `None` when the body ends before the first octet.
    async fn exactly(&mut self, length: usize) -> Result<Option<Bytes>, ApiError> {
        let mut got = BytesMut::new();
        while got.len() < length {
            match self.next().await? {
                Some(piece) => got.extend_from_slice(&piece),
                None if got.is_empty() => return Ok(None),
                None => return Err(ApiError::bad("the body ends in the middle of a message")),
            }
        }
        self.rest = got.split_off(length);
        Ok(Some(got.freeze()))
    }

    /// Reads on to the end of what is refused: a client that is still sending
    /// would otherwise see a broken connection and not the answer.
    async fn refused(&mut self, error: ApiError) -> ApiError {
        while let Ok(Some(_)) = self.next().await {}
        error
    }

    async fn copy(&mut self, mut left: u64, to: &mut Spool) -> Result<(), ApiError> {
        while left > 0 {
            let Some(mut piece) = self.next().await? else {
                return Err(ApiError::bad("the body ends in the middle of a message"));
            };
            let wanted = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.rest = BytesMut::from(piece.split_off(wanted));
            left -= wanted as u64;
            to.write(&piece).await?;
        }
        Ok(())
    }
}
