"""Are interpretable music emotion models more robust? The functions behind the notebooks.

A house of small files, from the ground floor up: a file imports only from those named before it (tests/test_house.py).

ground
    ``places`` ``checks`` ``splits`` ``metrics`` ``statistics`` ``budgets`` ``precision`` ``torchaudio_cpu``
sound and spectrogram (01)
    ``audio`` ``spectrogram`` ``perceptibility`` ``audio_distance``
corpora (01)
    ``midlevel_tables`` ``dataset`` ``download`` ``measures`` ``descriptors`` ``shortcut`` ``prepared`` ``preparation``
    ``check_corpus``
networks and training (02 to 05)
    ``models`` ``runs`` ``winograd`` ``winograd_training`` ``bim`` ``losses`` ``training_checks`` ``training``
what stands under, in and around every figure
    ``captions`` ``tables`` ``plots``
attacks, their sound, results (06 to 08)
    ``rendering`` ``family`` ``gradient_free`` ``attacks`` ``bottleneck`` ``evaluation`` ``mixing`` ``results``
    ``comparisons`` ``harm`` ``starting``
listening (00, 07)
    ``listening`` ``hearing`` ``explorer``
evidence, published runs (09, 13)
    ``corruptions`` ``evidence`` ``credibility`` ``published`` ``reread``
explanations (10)
    ``effects`` ``explanations`` ``regions`` ``sanity_checks`` ``interventions`` ``explanation_tables``
    ``shortcut_evidence`` ``shortcut_case``
explanations under attack (11)
    ``lens`` ``lens_chance`` ``attribution_maps`` ``attribution_attacks`` ``robust_attribution`` ``attribution_study``
    ``effect_changes`` ``attribution_reading``
inversion and generation (12)
    ``griffin_lim`` ``inversion`` ``generation`` ``sound_scores`` ``inversion_study`` ``generation_study``
    ``sound_study`` ``meaning``
one function a figure
    ``corpus_plots`` ``attack_plots`` ``robustness_plots`` ``perceptibility_plots`` ``credibility_plots``
    ``explanation_plots`` ``effect_plots`` ``intervention_plots`` ``lens_plots`` ``inversion_plots`` ``meaning_plots``
"""

__version__ = "0.1.0"
