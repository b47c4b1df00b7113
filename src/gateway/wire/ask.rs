//! One question over one connection.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::{
    answer::{self, Answer},
    hello::Hello,
    suites,
    survey::{Outcome, Survey, Version},
};
use crate::gateway::{
    Dial, HandshakeError,
    alert::describe,
    handshake::connect,
    metered::{Metered, TooMuch},
};

/// What became of one ClientHello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// The server took this suite, in the version that was offered.
    Takes(u16),
    /// The server said no, in these words.
    No(String),
    /// It cannot be told, for this reason.
    Unclear(String),
}

impl Said {
    /// For people and policies.
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Takes(suite) => Outcome::Accepted(suites::name(suite)),
            Self::No(how) => Outcome::Refused(how),
            Self::Unclear(why) => Outcome::Unknown(why),
        }
    }
}

/// Offers these suites in this version, and reads the first answer.
pub(super) async fn ask(dial: &dyn Dial, survey: &Survey<'_>, version: Version, offered: &[u16]) -> Said {
    let mut random = [0; 96];
    fastrand::fill(&mut random);
    let hello = Hello { version, suites: offered, name: survey.name, random };
    let first = [survey.proxy.bytes(), hello.bytes()].concat();
    let deadline = Instant::now() + survey.limit;
    let stream = match connect(dial, survey.address, deadline).await {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => return Said::Unclear(error.to_string()),
        None => return Said::Unclear(HandshakeError::Unanswered(survey.address, survey.limit).to_string()),
    };
    let mut stream = Metered::new(stream, answer::MOST);
    let talk = async {
        stream.write_all(&first).await?;
        listen(&mut stream).await
    };
    match timeout_at(deadline, talk).await {
        Ok(Ok(answer)) => judge(answer, version, offered),
        Ok(Err(error)) if error.get_ref().is_some_and(|inner| inner.is::<TooMuch>()) => {
            Said::Unclear(format!("the answer is no ServerHello: more than {} bytes came", answer::MOST))
        }
        Ok(Err(error)) if is_gone(error.kind()) => Said::No("the connection was reset".to_owned()),
        Ok(Err(error)) => Said::Unclear(error.to_string()),
        Err(_) => Said::Unclear(HandshakeError::TimedOut(survey.address, survey.limit).to_string()),
    }
}

fn is_gone(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset)
}

/// Reads until there is an answer, or nothing more comes: [`Answer::More`] then.
async fn listen(stream: &mut Metered) -> std::io::Result<Answer> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 2048];
        let length = stream.read(&mut chunk).await?;
        bytes.extend(&chunk[..length]);
        match answer::read(&bytes) {
            Answer::More if length > 0 => {}
            answer => return Ok(answer),
        }
    }
}

fn judge(answer: Answer, version: Version, offered: &[u16]) -> Said {
    match answer {
        Answer::Hello { version: taken, suite } if taken == version.number() && offered.contains(&suite) => {
            Said::Takes(suite)
        }
        Answer::Hello { version: taken, .. } if taken != version.number() => {
            Said::No(format!("it answers with {}", Version::named(taken)))
        }
        Answer::Hello { suite, .. } => Said::No(format!("it answers with {}", suites::name(suite))),
        Answer::Alert(alert) => Said::No(describe(alert).to_string()),
        Answer::More => Said::No("the connection was closed without an answer".to_owned()),
        Answer::NotTls => Said::Unclear("the answer is no TLS".to_owned()),
        Answer::Broken => Said::Unclear("the answer breaks the rules of TLS".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_offered_version_with_an_offered_suite_is_an_acceptance() {
        let said = |version, suite| judge(Answer::Hello { version, suite }, Version::Tls11, &[0xc014]);
        assert_eq!(said(0x0302, 0xc014), Said::Takes(0xc014));
        assert_eq!(said(0x0301, 0xc014), Said::No("it answers with TLS 1.0".to_owned()));
        assert_eq!(said(0x0300, 0xc014), Said::No("it answers with version 0x0300".to_owned()));
        assert_eq!(said(0x0302, 0xc013), Said::No("it answers with ECDHE-RSA-AES128-SHA".to_owned()));
        assert_eq!(judge(Answer::Alert(70), Version::Tls10, &[]), Said::No("alert 70, protocol_version".to_owned()));
    }
}
