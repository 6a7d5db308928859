//! Manifests: found, fetched and stored byte for byte.

use std::cell::Cell;

use bytes::Bytes;
use reqwest::{
    Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderValue},
};

use super::{Registry, check_digest, name_manifest, said};
use crate::{
    digest::Digest,
    oci::{
        Accepted, Cx, Descriptor, Error, Reference,
        error::ContentError,
        manifest::{MAX_PUSHED, MAX_READ, effective_media_type},
        media_type,
        transport::{Answer, Payload, Request},
    },
    retry::Advice,
};

/// How often a registry may deny that it has the blobs of a manifest. Distribution 2.8 does so for a moment while another client
/// uploads or mounts the same blob: it empties the file that links the blob before it writes it again.
const DENIALS: usize = 3;

impl Registry {
    fn name(&self, reference: &Reference) -> String {
        format!("{} of {}", name_manifest(reference.as_str()), self.display())
    }

    /// Descriptor of a manifest, if there is one, without fetching it if the registry can say so.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub async fn find(&self, cx: Cx<'_>, reference: &Reference) -> Result<Option<Descriptor>, Error> {
        let url = self.url(cx, &format!("manifests/{reference}")).await?;
        let scope = self.read_scope();
        let request = Request::new(Method::HEAD, url, &scope).header(ACCEPT, HeaderValue::from_static(media_type::ACCEPT_MANIFESTS));
        let attempt = || async {
            let answer = self.read(cx, &request).await?;
            match answer.status() {
                StatusCode::NOT_FOUND => Ok(Some(None)),
                StatusCode::OK => self.head(&answer, reference).map(|found| found.map(Some)),
                // A registry that cannot do HEAD, or something whose reasons only a GET brings to light.
                StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Ok(None),
                _ => Err(answer.into_error(request.name()).await),
            }
        };
        if let Some(found) = self.retrying(cx, attempt).await? {
            return Ok(found);
        }
        match self.manifest(cx, reference).await {
            Ok((descriptor, _)) => Ok(Some(descriptor)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the headers of a HEAD say; `None` when they do not say enough.
    fn head(&self, answer: &Answer, reference: &Reference) -> Result<Option<Descriptor>, Error> {
        if let Some(expected) = reference.digest() {
            check_digest(answer, expected, || self.name(reference))?;
        }
        let digest = reference.digest().cloned().or_else(|| said(answer));
        let size = answer.header("content-length").and_then(|text| text.parse().ok());
        let kind = answer.header("content-type").map(|text| text.split(';').next().unwrap_or("").trim());
        Ok(match (digest, size, kind) {
            (Some(digest), Some(size), Some(kind)) if size > 0 && media_type::is_manifest(kind) => {
                Some(Descriptor::new(kind, digest, size))
            }
            _ => None,
        })
    }

    /// A manifest, verified.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none.
    pub async fn manifest(&self, cx: Cx<'_>, reference: &Reference) -> Result<(Descriptor, Bytes), Error> {
        let url = self.url(cx, &format!("manifests/{reference}")).await?;
        let scope = self.read_scope();
        let request = Request::new(Method::GET, url, &scope).header(ACCEPT, HeaderValue::from_static(media_type::ACCEPT_MANIFESTS));
        self.retrying(cx, || async {
            let answer = self.read(cx, &request).await?;
            match answer.status() {
                StatusCode::OK => self.body(cx, answer, reference).await,
                StatusCode::NOT_FOUND => match answer.into_error(request.name()).await {
                    // A 404 of something that is no registry says so; of a registry it means there is no such manifest.
                    Error::Response(_) => Err(self.not_found(name_manifest(reference.as_str()))),
                    other => Err(other),
                },
                _ => Err(answer.into_error(request.name()).await),
            }
        })
        .await
    }

    async fn body(&self, cx: Cx<'_>, answer: Answer, reference: &Reference) -> Result<(Descriptor, Bytes), Error> {
        let what = self.name(reference);
        let kind = answer.header("content-type").map(str::to_owned);
        let said = said(&answer);
        let length = answer.response.content_length();
        let bytes = answer.bytes(cx, self.settings(), &what, MAX_READ).await?;
        let actual = bytes.len() as u64;
        if let Some(expected) = length.filter(|length| *length != actual) {
            return Err(ContentError::Size { what, expected, actual }.into());
        }
        let expected = reference.digest().or(said.as_ref());
        if let Some(expected) = expected.filter(|expected| !expected.matches(&bytes)) {
            return Err(ContentError::Digest { what, expected: expected.clone(), actual: Digest::of(&bytes) }.into());
        }
        let digest = expected.cloned().unwrap_or_else(|| Digest::of(&bytes));
        Ok((Descriptor::new(effective_media_type(kind.as_deref(), &bytes), digest, actual), bytes))
    }

    /// Stores a manifest under a tag or its digest; what it refers to has to be there.
    ///
    /// # Errors
    /// When it is too large, or the registry refuses it or says it got something else.
    pub async fn put_manifest(&self, cx: Cx<'_>, reference: &Reference, manifest: &Descriptor, bytes: Bytes) -> Result<Accepted, Error> {
        if bytes.len() as u64 > MAX_PUSHED {
            return Err(ContentError::TooLarge { what: format!("the manifest for {}", self.display()), limit: MAX_PUSHED }.into());
        }
        let url = self.url(cx, &format!("manifests/{reference}")).await?;
        let scope = self.write_scope();
        let kind = HeaderValue::from_str(&manifest.media_type).map_err(|_| ContentError::NotAManifest {
            media_type: manifest.media_type.escape_debug().to_string(),
            reason: "the media type has characters that cannot be sent".to_owned(),
        })?;
        let request = Request::new(Method::PUT, url, &scope).header(CONTENT_TYPE, kind).payload(Payload::Bytes(&bytes));
        let attempt = || async {
            let answer = self.read(cx, &request).await?;
            if !answer.status().is_success() {
                return Err(answer.into_error(request.name()).await);
            }
            check_digest(&answer, &manifest.digest, || self.name(reference))?;
            let accepted = Accepted {
                lists_subject: answer.header("oci-subject").is_some(),
                confirms_digest: said(&answer).as_ref() == Some(&manifest.digest),
            };
            answer.finish().await;
            Ok(accepted)
        };
        let denied = Cell::new(0);
        let advise = move |error: &Error| match error {
            Error::Response(answer) if answer.lacks_blobs() && denied.replace(denied.get() + 1) < DENIALS => Advice::Retry,
            other => other.advice(),
        };
        self.retrying_if(cx, advise, attempt).await
    }
}
