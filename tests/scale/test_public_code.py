"""What is taken from a checkout of public code, and what is said where it is another one. The code here is made up."""

import pytest
import torch
from public_code import FILES, PublicCode, definitions

from dynfocus.errors import UserError

CODE = """
import a_package_that_nobody_has

def weighted_kmeans_feature(img_feature: Unknown, video_max_frames: int):
    return torch.ones(video_max_frames)

raise RuntimeError("the rest of the file is not run")
"""


@pytest.fixture
def checkout(tmp_path):
    file = tmp_path / FILES["flash_vstream"][1]
    file.parent.mkdir(parents=True)
    file.write_text(CODE)
    return tmp_path


def test_one_function_is_taken_without_the_rest_of_its_file(checkout):
    public = PublicCode(flash_vstream=checkout)
    assert public
    call = public.kmeans(torch.zeros(5, 2, 3), 4)
    assert torch.equal(call(), torch.ones(4))


def test_what_was_not_named_is_not_measured():
    public = PublicCode()
    assert not public and public.commits() == {}
    scores = torch.zeros(5)
    assert public.events(torch.zeros(5, 3), 2, 1) is None and public.objects(torch.zeros(1, 4, 3)) is None
    assert public.topk(scores, torch.zeros(2, 5), 10, 0.1) is None and public.scores(torch.zeros(1, 5, 4, 3)) is None


def test_another_checkout_or_revision_is_refused_in_one_line(checkout):
    with pytest.raises(UserError, match=r"--chat-univi .*give a checkout of PKU-YuanGroup/Chat-UniVi"):
        PublicCode(chat_univi=checkout).events(torch.zeros(5, 3), 2, 1)
    with pytest.raises(UserError, match="no another; its revision differs"):
        definitions(checkout / FILES["flash_vstream"][1], "another")
