//! Writing into a layout.

use std::io::Write as _;

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::{Layout, folder, index::IndexFile};
use crate::{
    digest::{Digest, Hasher},
    oci::{
        BlobSource, Cx, Descriptor, Error, Reference, Stored,
        error::ContentError,
        manifest::{self, Manifest},
        media_type, referrers,
    },
    shutdown::Cancel,
};

/// Pieces on their way from the source to the disk.
const QUEUE: usize = 4;

impl Layout {
    /// Writes a manifest's bytes. A tag is entered into `index.json`; a manifest with a subject is listed among its referrers.
    pub async fn put_manifest(&self, cx: Cx<'_>, reference: &Reference, descriptor: &Descriptor, bytes: Bytes) -> Result<(), Error> {
        let (reference, descriptor, cancel) = (reference.clone(), descriptor.clone(), cx.cancel.clone());
        self.blocking(cx, move |layout| {
            layout.put_bytes(&descriptor, &bytes)?;
            let parsed = Manifest::parse(&descriptor.media_type, &bytes)?;
            let subject = parsed.subject().map(|subject| subject.digest.clone());
            let tag = match &reference {
                Reference::Tag(tag) => Some(tag),
                Reference::Digest(_) => None,
            };
            if tag.is_none() && subject.is_none() {
                return Ok(());
            }
            layout.change_index(&cancel, |index| {
                if let Some(subject) = subject {
                    layout.list_referrer(index, &subject, &referrers::describe(descriptor.clone(), &parsed))?;
                }
                if let Some(tag) = tag {
                    index.set(tag, &descriptor);
                }
                Ok(())
            })
        })
        .await
    }

    fn list_referrer(&self, index: &mut IndexFile, subject: &Digest, referrer: &Descriptor) -> Result<(), Error> {
        let tag = referrers::fallback_tag(subject);
        let listed = index.tagged(&tag).map_err(|problem| problem.at(&self.root.join("index.json")))?;
        let current = match listed {
            Some(entry) => Manifest::parse(media_type::OCI_INDEX, &self.small(&entry.digest, Some(entry.size), manifest::MAX_READ)?)?,
            None => Manifest::Unknown,
        };
        if let Some(grown) = referrers::extended(current, std::slice::from_ref(referrer)) {
            let bytes = grown.to_bytes()?;
            let descriptor = Descriptor::of(media_type::OCI_INDEX, &bytes);
            self.put_bytes(&descriptor, &bytes)?;
            index.set(&tag, &descriptor);
        }
        Ok(())
    }

    /// Changes `index.json` while nobody else does.
    fn change_index(&self, cancel: &Cancel, change: impl FnOnce(&mut IndexFile) -> Result<(), Error>) -> Result<(), Error> {
        let _lock = folder::lock(&self.root, cancel)?;
        folder::sweep(&self.root);
        let mut index = self.index()?;
        let before = index.to_bytes();
        change(&mut index)?;
        let after = index.to_bytes();
        let path = self.root.join("index.json");
        if before == after && path.exists() {
            return Ok(());
        }
        // What the entry names has to be durable before the entry is.
        folder::sync_folder(&self.root.join("blobs").join("sha256"))?;
        folder::write(&self.root, &path, &after)?;
        folder::sync_folder(&self.root)
    }

    fn put_bytes(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), Error> {
        folder::create(&self.root)?;
        let path = folder::blob_path(&self.root, &descriptor.digest);
        folder::verify(&path, &descriptor.digest, bytes)?;
        if self.holds(descriptor) { Ok(()) } else { folder::write(&self.root, &path, bytes) }
    }

    /// Writes a blob, which has its name only once all of it has arrived and has the right size and digest.
    pub async fn put_blob(&self, cx: Cx<'_>, blob: &Descriptor, source: &dyn BlobSource) -> Result<Stored, Error> {
        if self.has_blob(cx, blob).await? {
            return Ok(Stored::Present);
        }
        let (sender, receiver) = mpsc::channel::<Bytes>(QUEUE);
        let expected = blob.clone();
        // Dropping the sender, as a cancelled or failed transfer does, ends the writer and removes its file.
        let writer = self.blocking(cx, move |layout| layout.receive(&expected, receiver));
        let reader = async {
            let mut pieces = source.open(cx, 0).await?;
            while let Some(piece) = cx.cancel.run(pieces.next()).await?.transpose()? {
                if sender.send(piece).await.is_err() {
                    // The writer has given up and says why.
                    break;
                }
            }
            drop(sender);
            Ok(())
        };
        let (read, written): (Result<(), Error>, _) = tokio::join!(reader, writer);
        read?;
        written?;
        Ok(Stored::Uploaded)
    }

    fn receive(&self, blob: &Descriptor, mut pieces: mpsc::Receiver<Bytes>) -> Result<(), Error> {
        folder::create(&self.root)?;
        let path = folder::blob_path(&self.root, &blob.digest);
        let mut file = folder::temporary(&self.root)?;
        let mut hasher = Hasher::new(blob.digest.algorithm());
        let mut actual = 0;
        let what = || format!("blob {}", blob.digest);
        while let Some(piece) = pieces.blocking_recv() {
            actual += piece.len() as u64;
            if actual > blob.size {
                return Err(ContentError::Size { what: what(), expected: blob.size, actual }.into());
            }
            hasher.update(&piece);
            file.write_all(&piece).map_err(folder::io_error(&path))?;
        }
        if actual != blob.size {
            return Err(ContentError::Size { what: what(), expected: blob.size, actual }.into());
        }
        let digest = hasher.finish();
        if digest != blob.digest {
            return Err(ContentError::Digest { what: what(), expected: blob.digest.clone(), actual: digest }.into());
        }
        folder::persist(file, &path)
    }
}
