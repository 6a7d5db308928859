//! What a token is asked for.

/// Rights on one repository, and to mount blobs from others of the same registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// Repository name, without the host.
    pub repository: String,
    /// Whether writing is wanted too.
    pub push: bool,
    /// Repository that blobs are mounted from: its right to pull has to be in the same token.
    pub mount_from: Option<String>,
}

impl Scope {
    /// To read `repository`.
    pub fn pull(repository: impl Into<String>) -> Self {
        Self { repository: repository.into(), push: false, mount_from: None }
    }

    /// To read and write `repository`.
    pub fn push(repository: impl Into<String>) -> Self {
        Self { repository: repository.into(), push: true, mount_from: None }
    }

    /// And to mount blobs from another repository.
    #[must_use]
    pub fn mounting_from(mut self, repository: impl Into<String>) -> Self {
        self.mount_from = Some(repository.into());
        self
    }

    /// `pull` or `push`, for messages.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        if self.push { "push" } else { "pull" }
    }

    /// The scopes as a token server wants them. The one to push stands first: some read no further.
    pub(super) fn to_scopes(&self) -> Vec<String> {
        let rights = if self.push { "pull,push" } else { "pull" };
        let own = format!("repository:{}:{rights}", self.repository);
        let mount = self.mount_from.as_ref().filter(|from| **from != self.repository).map(|from| format!("repository:{from}:pull"));
        std::iter::once(own).chain(mount).collect()
    }

    /// Whether a token for `self` also serves `wanted`.
    pub(super) fn covers(&self, wanted: &Self) -> bool {
        self.repository == wanted.repository
            && (self.push || !wanted.push)
            && (wanted.mount_from.is_none() || wanted.mount_from == self.mount_from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_stands_first_and_covers_pull() {
        let scope = Scope::push("a/b").mounting_from("c");
        assert_eq!(scope.to_scopes(), ["repository:a/b:pull,push", "repository:c:pull"]);
        assert!(scope.covers(&Scope::pull("a/b")));
        assert!(!Scope::pull("a/b").covers(&scope));
        assert!(!Scope::push("a/b").covers(&scope));
        assert_eq!(Scope::push("a").mounting_from("a").to_scopes(), ["repository:a:pull,push"]);
    }
}
