"""What a run makes, as artefacts that can be published, pulled, checked, explained and compared.

catalogue   every artefact of a configuration: where it is, what it depends on, the pack it travels in
bindings    the check that each consumer makes of each input
ladder      `start_from`: what is pulled, what is made here, and what that costs
packs       one plain tar per artefact, equal bytes for equal content
index       `artefacts.json`: the manifests of what is published
store       DVC
publish     add and push a finished run, all of it or nothing
pull        the way back
why         the state of every artefact, with the reason
compare     two finished roots, artefact by artefact
attest      the record of a finished reproduction
"""
