"""The official client of Hugging Face's hub is content with our stand-in, and meets a parent that moved as at the real one."""

import pytest

from qcity_nb.testing.hub import FakeHub


@pytest.fixture
def hub():
    with FakeHub() as hub:
        hub.dataset("ann/leases")
        yield hub


def test_the_official_client_branches_commits_and_is_told_of_a_parent_that_moved(hub):
    official = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed: pip install huggingface_hub")
    api = official.HfApi(endpoint=hub.url, token="hf_stand_in")

    def commit(parent, text):
        change = official.CommitOperationAdd(path_in_repo="lease.json", path_or_fileobj=text)
        return api.create_commit("ann/leases", [change], commit_message=text.decode(), repo_type="dataset", revision="b", parent_commit=parent)

    api.create_branch("ann/leases", branch="b", repo_type="dataset")
    first = api.repo_info("ann/leases", repo_type="dataset", revision="b").sha
    second = commit(first, b"one").oid
    assert api.repo_info("ann/leases", repo_type="dataset", revision="b").sha == second
    with pytest.raises(official.errors.HfHubHTTPError) as caught:
        commit(first, b"two")
    assert caught.value.response.status_code == 412
    assert hub.datasets["ann/leases"].commits[second]["lease.json"] == b"one"


def test_the_official_client_makes_a_private_dataset_and_removes_a_branch_with_its_files(hub):
    official = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed: pip install huggingface_hub")
    api = official.HfApi(endpoint=hub.url, token="hf_stand_in")
    for _ in range(2):
        api.create_repo("ann/runs", repo_type="dataset", private=True, exist_ok=True)
    assert api.repo_info("ann/runs", repo_type="dataset").private
    api.create_branch("ann/runs", branch="a", repo_type="dataset")
    assert [one.name for one in api.list_repo_refs("ann/runs", repo_type="dataset").branches] == ["main", "a"]
    api.upload_file(path_or_fileobj=b"one", path_in_repo="result", repo_id="ann/runs", repo_type="dataset", revision="a")
    api.delete_branch("ann/runs", branch="a", repo_type="dataset")
    assert list(hub.datasets["ann/runs"].branches) == ["main"]
    with pytest.raises(official.errors.RevisionNotFoundError):
        api.delete_branch("ann/runs", branch="a", repo_type="dataset")


def test_the_official_client_commits_to_a_static_space(hub):
    official = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed: pip install huggingface_hub")
    api = official.HfApi(endpoint=hub.url, token="hf_stand_in")
    space = hub.space("ann/app")
    found = api.space_info("ann/app")
    assert (found.sdk, found.private) == ("static", False)
    change = official.CommitOperationAdd(path_in_repo="index.html", path_or_fileobj=b"<p>")
    done = api.create_commit("ann/app", [change], commit_message="page", repo_type="space", parent_commit=found.sha)
    assert space.commits[done.oid]["index.html"] == b"<p>"
    with pytest.raises(official.errors.RepositoryNotFoundError):
        api.space_info("ann/none")
