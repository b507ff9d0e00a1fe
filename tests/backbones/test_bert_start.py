"""A text encoder that starts from BERT: the words are read as BERT reads them; queries and cross-attention are new."""

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer

from dynfocus.backbones import bert as module
from dynfocus.errors import UserError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "rolls", "the", "red", "ball"]
WIDTH = 12


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A folder with a small random BERT and its tokenizer."""
    folder = tmp_path_factory.mktemp("bert")
    shape = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 24}
    torch.manual_seed(0)
    model = BertModel(BertConfig(vocab_size=len(WORDS), **shape), add_pooling_layer=False)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def test_words_that_see_no_query_are_read_as_by_bert(bert):
    encoder, tokenizer = module.text_encoder_from_bert(str(bert), WIDTH)
    words = tokenizer("the red ball rolls", return_tensors="pt")
    wanted = BertModel.from_pretrained(bert, add_pooling_layer=False).eval()(**words).last_hidden_state
    mask = torch.cat([torch.zeros(1, module.QUERIES, dtype=torch.long), words["attention_mask"]], dim=1)
    states = encoder.qformer.eval()(
        input_ids=words["input_ids"],
        attention_mask=mask,
        query_embeds=encoder.query_tokens,
        encoder_hidden_states=torch.randn(1, 5, WIDTH),
    ).last_hidden_state
    assert torch.allclose(states[:, module.QUERIES :], wanted, atol=1e-5)


def test_queries_start_with_the_feed_forward_weights_of_the_words(bert):
    encoder, _ = module.text_encoder_from_bert(str(bert), WIDTH)
    layer = encoder.qformer.encoder.layer[1]
    assert layer.intermediate_query.dense.weight.equal(layer.intermediate.dense.weight)
    assert layer.intermediate_query.dense.weight.data_ptr() != layer.intermediate.dense.weight.data_ptr()
    assert encoder.qformer.encoder.layer[0].crossattention.attention.key.weight.shape == (16, WIDTH)


def test_the_tokenizer_gains_the_decoder_token_and_cuts_on_the_left(bert):
    encoder, tokenizer = module.text_encoder_from_bert(str(bert), WIDTH)
    assert tokenizer.convert_tokens_to_ids("[DEC]") == len(WORDS) and tokenizer.truncation_side == "left"
    assert encoder.qformer.embeddings.word_embeddings.num_embeddings == len(WORDS) + 1


def test_a_name_that_is_no_bert_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"backbones.qformer.name: cannot load"):
        module.text_encoder_from_bert(str(tmp_path / "nothing"), WIDTH)
