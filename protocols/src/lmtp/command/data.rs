//! DATA (RFC 2033 section 4.2): a reply for every recipient that was accepted.

use bytes::Buf;
use redoubt_log::id::Timestamp;
use redoubt_log::record::{Actor, Arrival, Rejection};
use redoubt_store::mailstore::WriteError;

use super::super::deliverer::Deliverer;
use super::super::reply::{Reply, failed, rejected, reply, reply_with};
use super::super::session::{Session, Transaction};
use super::super::unstuff::Unstuffer;
use super::super::{BareNewlines, OverQuota, trace};
use super::Next;
use crate::stream::StreamError;

type Delivered = Result<Vec<Result<Arrival, Rejection>>, Reply>;

pub(super) async fn run<D: Deliverer>(
    session: &mut Session<'_, D>,
    arguments: &str,
) -> Result<Next, StreamError> {
    if !arguments.is_empty() {
        session.say(&reply(501, "5.5.4", "DATA has no arguments"));
        return Ok(Next::Go);
    }
    // RFC 2033 section 4.2: without a recipient that was accepted there is nothing to reply to.
    if session.transaction.as_ref().is_none_or(|transaction| transaction.recipients.is_empty()) {
        session.say(&reply(503, "5.5.1", "no valid recipients"));
        return Ok(Next::Go);
    }
    if session.messages >= session.options.max_messages {
        return Ok(session.close(&reply(421, "4.7.0", "enough messages, connect again")));
    }
    session.messages += 1;
    let transaction = session.transaction.take().unwrap_or_default();
    session.connection.queue(b"354 go on, end with <CRLF>.<CRLF>\r\n");
    session.connection.flush().await?;
    let receive = tokio::time::timeout(session.options.message_timeout, receive(session)).await;
    let content = receive.map_err(|_| StreamError::TimedOut("send"))??;
    let recipients = recipients(&transaction);
    let delivered = match content {
        Ok(content) => deliver(session, transaction, content).await,
        Err(refused) => Err(refused),
    };
    answer(session, &recipients, &delivered);
    Ok(Next::Go)
}

/// Who gets a reply, in which order.
fn recipients(transaction: &Transaction) -> Vec<(String, OverQuota)> {
    let addresses = transaction.recipients.iter().map(|recipient| recipient.address.clone());
    addresses.zip(transaction.over_quota.iter().copied()).collect()
}

/// Takes the data to its end, whatever comes of it: the client sends it anyway.
async fn receive<D: Deliverer>(
    session: &mut Session<'_, D>,
) -> Result<Result<D::Content, Reply>, StreamError> {
    let limit = session.connection.limits().receive_timeout;
    let (mut unstuffer, mut octets) = (Unstuffer::new(), Vec::new());
    let mut content = Ok(session.deliverer.begin());
    loop {
        let input = session.connection.input();
        octets.clear();
        let fed = unstuffer.feed(input, &mut octets);
        input.advance(fed.taken);
        content = add::<D>(content, &octets).await;
        if fed.ended {
            return Ok(content.and_then(|content| check_newlines(session, &unstuffer, content)));
        }
        session.connection.fill_within(limit).await?;
    }
}

/// After an error the rest is passed over.
async fn add<D: Deliverer>(
    content: Result<D::Content, Reply>,
    octets: &[u8],
) -> Result<D::Content, Reply> {
    let mut content = content?;
    if octets.is_empty() {
        return Ok(content);
    }
    match D::write(&mut content, octets).await {
        Ok(()) => Ok(content),
        Err(error) => Err(refusal(&error)),
    }
}

fn check_newlines<D: Deliverer>(
    session: &Session<'_, D>,
    unstuffer: &Unstuffer,
    content: D::Content,
) -> Result<D::Content, Reply> {
    let refuse = session.options.bare_newlines == BareNewlines::Refuse;
    if refuse && unstuffer.has_bare_newline() {
        return Err(reply(554, "5.6.0", "the message has a bare CR or LF (RFC 5321 2.3.8)"));
    }
    Ok(content)
}

async fn deliver<D: Deliverer>(
    session: &Session<'_, D>,
    mut transaction: Transaction,
    content: D::Content,
) -> Delivered {
    let peer = session.connection.peer();
    let envelope = &mut transaction.envelope;
    let named = session.proxied.helo.as_ref().or(session.client_name.as_ref());
    envelope.client_name = named.cloned().unwrap_or_default();
    (envelope.client_address, envelope.tls) = (peer.ip(), peer.tls);
    let only = match transaction.recipients.as_slice() {
        [only] => Some(only.address.as_str()),
        _ => None,
    };
    let hostname = &session.options.hostname;
    let name = session.proxied.name.as_deref();
    let lines = trace::lines(envelope, name, hostname, rand::random(), only, Timestamp::now());
    let actor = Actor::mta(peer.ip());
    let Transaction { envelope, recipients, .. } = transaction;
    let delivered = session.deliverer.deliver(actor, envelope, lines, content, recipients).await;
    delivered.map_err(|error| refusal(&error))
}

fn refusal(error: &WriteError) -> Reply {
    let answer = failed(error);
    if answer.is_ours() {
        tracing::warn!(%error, "a message was not taken");
    }
    answer
}

fn answer<D: Deliverer>(
    session: &mut Session<'_, D>,
    recipients: &[(String, OverQuota)],
    delivered: &Delivered,
) {
    for (at, (address, over_quota)) in recipients.iter().enumerate() {
        let answer = match delivered {
            Err(refused) => refused.clone(),
            Ok(answers) => match answers.get(at) {
                Some(Ok(_)) => reply(250, "2.0.0", "delivered"),
                Some(Err(rejection)) => rejected(rejection, *over_quota),
                None => reply(451, "4.3.0", "the outcome is not known, try again"),
            },
        };
        let text = format!("<{address}> {}", answer.text);
        session.say(&reply_with(answer.code, answer.status, text));
    }
}
