"""What a run makes, as artefacts that can be published, pulled, checked, explained and compared.

cache       `start_from`: what is pulled, what is made here, and why
places      which file of the store each published result travels in
packs       one plain tar per artefact, equal bytes for equal content
store       DVC
publish     add and push a finished run, all of it or nothing
pull        the way back
fresh       whether what is published is what this checkout would publish
why         the state of every artefact, with the reason
compare     two finished roots, artefact by artefact
attest      the record of a finished reproduction
"""
